package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it healthCheckConfig has no effect.
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": "spanqa.v1.QuestionAnsweringService"},
	"methodConfig": [{
		"name": [{"service": "spanqa.v1.QuestionAnsweringService", "method": "Answer"},
			{"service": "spanqa.v1.QuestionAnsweringService", "method": "BatchAnswer"},
			{"service": "spanqa.v1.QuestionAnsweringService", "method": "AnswerFromDocuments"},
			{"service": "spanqa.v1.QuestionAnsweringService", "method": "ComputeLogits"},
			{"service": "spanqa.v1.QuestionAnsweringService", "method": "GetModel"}],
		"retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s",
			"backoffMultiplier": 3,
			"retryableStatusCodes": ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"]}
	}]
}`

func connect(retries bool) (*grpc.ClientConn, error) {
	target := os.Getenv("SPANQA_TARGET")
	if target == "" {
		return nil, errors.New("SPANQA_TARGET is not set")
	}
	transport := insecure.NewCredentials()
	if file := os.Getenv("SPANQA_CA"); file != "" {
		var err error
		if transport, err = credentials.NewClientTLSFromFile(file, ""); err != nil {
			return nil, err
		}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxRetryRPCBufferSize(16<<20)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	}
	if token := os.Getenv("SPANQA_TOKEN"); token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	if retries {
		servers := several(strings.Split(target, ","))
		options = append(options, grpc.WithResolvers(servers), grpc.WithDefaultServiceConfig(serviceConfig))
		target = servers.Scheme() + ":///"
	}
	return grpc.NewClient(target, options...)
}

// several makes one target of a fixed list of servers.
func several(addresses []string) *manual.Resolver {
	servers := manual.NewBuilderWithScheme("several")
	var state resolver.State
	for _, address := range addresses {
		// TLS checks each server's certificate for its own name.
		one := resolver.Address{Addr: address, ServerName: address}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{one}})
	}
	servers.InitialState(state)
	return servers
}

type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// RequireTransportSecurity keeps the token off connections without TLS.
func (bearer) RequireTransportSecurity() bool { return true }
