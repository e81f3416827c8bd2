// Flood sends Answer calls at a steady rate, whether or not they are answered.
//
// It takes a quarter of the CPU time that the same calls take in Python, so more of the machine is
// left to the server beside it. Requests come on stdin, one in base64 a line, and are sent in turn
// as they are. For each call it prints when it was due, sent and settled (seconds since 1970), its
// status, and the response in base64.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const method = "/spanqa.v1.QuestionAnsweringService/Answer"

// raw leaves messages as the bytes that they are.
type raw struct{}

func (raw) Name() string                        { return "proto" }
func (raw) Marshal(message any) ([]byte, error) { return message.([]byte), nil }
func (raw) Unmarshal(data []byte, into any) error {
	*into.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type call struct {
	due, sent, settled time.Time
	code               string
	response           []byte
}

func main() {
	target := flag.String("target", "localhost:50051", "host:port")
	rate := flag.Float64("rate", 20, "calls a second")
	seconds := flag.Float64("seconds", 60, "for how long")
	timeout := flag.Float64("timeout", 5, "deadline of a call, in seconds")
	connections := flag.Int("connections", 16, "calls take turns on them")
	flag.Parse()
	log.SetFlags(0)
	requests := read()
	clients := connect(*target, *connections)
	calls := make([]call, int(*rate**seconds))
	var underWay sync.WaitGroup
	begin := time.Now()
	for number := range calls {
		due := begin.Add(time.Duration(float64(number) / *rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		calls[number].due = due
		underWay.Go(func() {
			client := clients[number%len(clients)]
			ask(client, requests[number%len(requests)], *timeout, &calls[number])
		})
	}
	underWay.Wait()
	write(calls)
}

func read() [][]byte {
	var requests [][]byte
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		request, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			log.Fatalf("line %d of stdin is not base64: %v", len(requests)+1, err)
		}
		requests = append(requests, request)
	}
	if err := lines.Err(); err != nil || len(requests) == 0 {
		log.Fatalf("no requests on stdin: %v", err)
	}
	return requests
}

func connect(target string, connections int) []*grpc.ClientConn {
	clients := make([]*grpc.ClientConn, connections)
	for number := range clients {
		client, err := grpc.NewClient(target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDisableRetry(), grpc.WithNoProxy(),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			log.Fatal(err)
		}
		client.Connect()
		clients[number] = client
	}
	return clients
}

func ask(client *grpc.ClientConn, request []byte, timeout float64, made *call) {
	limit := time.Duration(timeout * float64(time.Second))
	limited, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	made.sent = time.Now()
	err := client.Invoke(limited, method, request, &made.response)
	made.settled = time.Now()
	made.code = status.Code(err).String()
}

func write(calls []call) {
	out := bufio.NewWriter(os.Stdout)
	for _, one := range calls {
		fmt.Fprintf(out, "%.6f %.6f %.6f %s %s\n", unix(one.due), unix(one.sent), unix(one.settled),
			one.code, base64.StdEncoding.EncodeToString(one.response))
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func unix(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }
