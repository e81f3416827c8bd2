// An example client of SpanQA; ../README.md says what its commands do.
package main

//go:generate go run ./generate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	spanqav1 "example.com/spanqa/gen/spanqa/v1"
)

const (
	timeout  = 30 * time.Second
	patience = 200 * time.Millisecond // of the commands deadline and cancel
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("example: ")
	if len(os.Args) != 2 {
		log.Fatal("give one command; ../README.md lists them")
	}
	command := os.Args[1]
	conn, err := connect(command == "retry")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	client := spanqav1.NewQuestionAnsweringServiceClient(conn)
	switch command {
	case "answer":
		answer(client)
	case "batch":
		batch(client)
	case "stream":
		stream(client)
	case "deadline":
		deadline(client)
	case "cancel":
		cancelled(client)
	case "retry":
		retry(client)
	case "health":
		health(healthpb.NewHealthClient(conn))
	default:
		log.Fatalf("no such command: %s", command)
	}
}

func answer(client spanqav1.QuestionAnsweringServiceClient) {
	for request := range requests() {
		reply, err := ask(client, request)
		result := outcome(reply, err)
		if err == nil {
			best := reply.GetAnswers()[0]
			result["start"], result["end"] = best.GetStart(), best.GetEnd()
			result["unit"] = strings.TrimPrefix(reply.GetOffsetEncoding().String(), "OFFSET_ENCODING_")
			result["cut"] = request.GetContext()[best.GetStart():best.GetEnd()]
		}
		show(result)
	}
}

func batch(client spanqav1.QuestionAnsweringServiceClient) {
	all := &spanqav1.BatchAnswerRequest{}
	for request := range requests() {
		all.Requests = append(all.Requests, request)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	reply, err := client.BatchAnswer(ctx, all)
	if err != nil {
		show(outcome(nil, err))
	}
	for _, item := range reply.GetItems() {
		show(outcome(item.GetResponse(), status.ErrorProto(item.GetError())))
	}
}

func stream(client spanqav1.QuestionAnsweringServiceClient) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	call, err := client.StreamAnswer(ctx)
	if err != nil {
		show(outcome(nil, err))
		return
	}
	go send(call)
	for {
		reply, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			show(outcome(nil, err))
			return
		}
		result := outcome(reply.GetResponse(), status.ErrorProto(reply.GetError()))
		result["id"] = reply.GetId()
		show(result)
	}
}

// send waits in Send while the server takes no more, and standard input waits with it.
func send(call spanqav1.QuestionAnsweringService_StreamAnswerClient) {
	number := 0
	for request := range requests() {
		one := &spanqav1.StreamAnswerRequest{Id: strconv.Itoa(number), Request: request}
		if call.Send(one) != nil {
			return // Recv says why.
		}
		number++
	}
	call.CloseSend()
}

func deadline(client spanqav1.QuestionAnsweringServiceClient) {
	request := first()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	show(outcome(client.Answer(ctx, request)))
}

func cancelled(client spanqav1.QuestionAnsweringServiceClient) {
	request := first()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(patience, cancel)
	show(outcome(client.Answer(ctx, request)))
}

func retry(client spanqav1.QuestionAnsweringServiceClient) {
	for request := range requests() {
		show(outcome(ask(client, request)))
	}
}

func health(client healthpb.HealthClient) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	reply, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		show(outcome(nil, err))
		return
	}
	show(record{"status": reply.GetStatus().String()})
}

func ask(client spanqav1.QuestionAnsweringServiceClient, request *spanqav1.AnswerRequest) (*spanqav1.AnswerResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return client.Answer(ctx, request)
}

// requests reads the pairs of standard input, one at a time.
func requests() iter.Seq[*spanqav1.AnswerRequest] {
	// Go's strings are bytes of UTF-8: so are the offsets that cut them.
	options := &spanqav1.AnswerOptions{OffsetEncoding: spanqav1.OffsetEncoding_OFFSET_ENCODING_UTF8}
	return func(yield func(*spanqav1.AnswerRequest) bool) {
		for input := json.NewDecoder(os.Stdin); ; {
			var pair struct{ Question, Context string }
			if err := input.Decode(&pair); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				log.Fatalf("standard input: %v", err)
			}
			if !yield(&spanqav1.AnswerRequest{Question: pair.Question, Context: pair.Context, Options: options}) {
				return
			}
		}
	}
}

func first() *spanqav1.AnswerRequest {
	for request := range requests() {
		return request
	}
	log.Fatal("standard input: no pair")
	return nil
}

type record map[string]any

func outcome(reply *spanqav1.AnswerResponse, err error) record {
	if err == nil {
		// Only with allow_no_answer or min_probability can there be no answer.
		return record{"text": reply.GetAnswers()[0].GetText()}
	}
	failed := status.Convert(err)
	// This names CANCELLED as the proto does; failed.Code().String() is "Canceled".
	result := record{"code": code.Code(failed.Code()).String(), "message": failed.Message()}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			result["reason"] = detail.GetReason()
		case *errdetails.BadRequest:
			fields := map[string]string{}
			for _, violation := range detail.GetFieldViolations() {
				fields[violation.GetField()] = violation.GetDescription()
			}
			result["fields"] = fields
		}
	}
	return result
}

func show(result record) {
	// Standard output has no buffer in Go: each line goes out at once.
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
