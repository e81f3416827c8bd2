// Asks SpanQA questions. The commands and variables are those of ../README.md.

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "google/rpc/code.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "spanqa/v1/question_answering.grpc.pb.h"

namespace {

using google::protobuf::Struct;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using spanqa::v1::AnswerRequest;
using spanqa::v1::AnswerResponse;
using spanqa::v1::QuestionAnsweringService;
using namespace std::chrono_literals;

constexpr int kMaxMessageBytes = 64 << 20;

constexpr char kServiceConfig[] = R"({
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
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"]}}]
})";

[[noreturn]] void Fail(const std::string& why) {
  std::cerr << "example: " << why << std::endl;
  // Not exit: a thread may still be printing answers.
  std::quick_exit(2);
}

void Set(Struct& object, const std::string& name, const std::string& text) {
  (*object.mutable_fields())[name].set_string_value(text);
}

void Set(Struct& object, const std::string& name, int number) {
  (*object.mutable_fields())[name].set_number_value(number);
}

void Print(const Struct& object) {
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(object, &json);
  if (!status.ok()) Fail(status.ToString());
  std::cout << json << std::endl;
}

std::optional<AnswerRequest> ReadPair() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  AnswerRequest pair;
  const auto status = google::protobuf::util::JsonStringToMessage(line, &pair);
  if (!status.ok()) Fail("not a pair in JSON: " + line.substr(0, 100));
  pair.mutable_options()->set_offset_encoding(spanqa::v1::OFFSET_ENCODING_UTF8);
  return pair;
}

AnswerRequest FirstPair() {
  auto pair = ReadPair();
  if (!pair) Fail("no pair on standard input");
  return *std::move(pair);
}

void SetError(Struct& object, const google::rpc::Status& error) {
  Set(object, "code", google::rpc::Code_Name(static_cast<google::rpc::Code>(error.code())));
  Set(object, "message", error.message());
  for (const auto& detail : error.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    if (detail.UnpackTo(&info)) Set(object, "reason", info.reason());
    if (detail.UnpackTo(&bad)) {
      auto& fields = *(*object.mutable_fields())["fields"].mutable_struct_value();
      for (const auto& wrong : bad.field_violations()) {
        Set(fields, wrong.field(), wrong.description());
      }
    }
  }
}

void PrintFailure(const grpc::Status& status) {
  google::rpc::Status error;
  error.ParseFromString(status.error_details());
  // A status that gRPC itself made has no details.
  error.set_code(status.error_code());
  error.set_message(status.error_message());
  Struct object;
  SetError(object, error);
  Print(object);
}

void PrintAnswer(const grpc::Status& status, const AnswerRequest& request,
                 const AnswerResponse& response) {
  if (!status.ok()) return PrintFailure(status);
  const auto& best = response.answers(0);
  const auto cut = request.context().substr(best.start(), best.end() - best.start());
  const auto unit = spanqa::v1::OffsetEncoding_Name(response.offset_encoding());
  Struct object;
  Set(object, "text", best.text());
  Set(object, "start", best.start());
  Set(object, "end", best.end());
  Set(object, "unit", unit.substr(std::string("OFFSET_ENCODING_").size()));
  Set(object, "cut", cut);
  Print(object);
}

// An item of a batch or a message of a stream.
template <typename Item>
void PrintItem(const Item& item, Struct object = {}) {
  if (item.has_error()) {
    SetError(object, item.error());
  } else {
    Set(object, "text", item.response().answers(0).text());
  }
  Print(object);
}

void Ask(QuestionAnsweringService::Stub& stub, const AnswerRequest& request,
         std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  AnswerResponse response;
  const grpc::Status status = stub.Answer(&context, request, &response);
  PrintAnswer(status, request, response);
}

void Cancel(QuestionAnsweringService::Stub& stub, const AnswerRequest& request) {
  grpc::ClientContext context;
  AnswerResponse response;
  auto call = std::async(std::launch::async,
                         [&] { return stub.Answer(&context, request, &response); });
  call.wait_for(200ms);
  context.TryCancel();
  PrintAnswer(call.get(), request, response);
}

void Batch(QuestionAnsweringService::Stub& stub) {
  spanqa::v1::BatchAnswerRequest request;
  while (auto pair = ReadPair()) *request.add_requests() = *std::move(pair);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 60s);
  spanqa::v1::BatchAnswerResponse response;
  const grpc::Status status = stub.BatchAnswer(&context, request, &response);
  if (!status.ok()) return PrintFailure(status);
  for (const auto& item : response.items()) PrintItem(item);
}

void Stream(QuestionAnsweringService::Stub& stub) {
  grpc::ClientContext context;
  const auto stream = stub.StreamAnswer(&context);
  std::thread reader([&] {
    spanqa::v1::StreamAnswerResponse response;
    while (stream->Read(&response)) {
      Struct object;
      Set(object, "id", response.id());
      PrintItem(response, object);
    }
  });
  spanqa::v1::StreamAnswerRequest request;
  for (int number = 0; auto pair = ReadPair(); ++number) {
    request.set_id(std::to_string(number));
    *request.mutable_request() = *std::move(pair);
    // Waits while the server takes no more; false when the stream has ended.
    if (!stream->Write(request)) break;
  }
  stream->WritesDone();
  reader.join();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) PrintFailure(status);
}

void CheckHealth(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 5s);
  HealthCheckResponse response;
  const auto stub = Health::NewStub(channel);
  const grpc::Status status = stub->Check(&context, HealthCheckRequest(), &response);
  if (!status.ok()) return PrintFailure(status);
  Struct object;
  Set(object, "status", HealthCheckResponse::ServingStatus_Name(response.status()));
  Print(object);
}

std::shared_ptr<grpc::ChannelCredentials> Credentials() {
  const char* authority = std::getenv("SPANQA_CA");
  const char* token = std::getenv("SPANQA_TOKEN");
  if (!authority) {
    if (token) Fail("SPANQA_TOKEN needs TLS: set SPANQA_CA, too");
    return grpc::InsecureChannelCredentials();
  }
  std::ifstream file(authority);
  if (!file) Fail(std::string("cannot read ") + authority);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
  const auto tls = grpc::SslCredentials(options);
  return token ? grpc::CompositeChannelCredentials(tls, grpc::AccessTokenCredentials(token)) : tls;
}

std::shared_ptr<grpc::Channel> Connect(bool retry) {
  const char* given = std::getenv("SPANQA_TARGET");
  if (!given) Fail("SPANQA_TARGET is not set: HOST:PORT");
  std::string target = given;
  // gRPC takes a list of addresses, in numbers, under this scheme only.
  if (target.find(',') != std::string::npos) target = "ipv4:" + target;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  if (retry) {
    arguments.SetServiceConfigJSON(kServiceConfig);
    // Larger messages are not retried; the default is 256 KiB.
    arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, kMaxMessageBytes);
  }
  return grpc::CreateCustomChannel(target, Credentials(), arguments);
}

}  // namespace

int main(int count, char** words) {
  const std::string command = count == 2 ? words[1] : "";
  const auto channel = Connect(command == "retry");
  const auto stub = QuestionAnsweringService::NewStub(channel);
  if (command == "answer" || command == "retry") {
    while (const auto pair = ReadPair()) Ask(*stub, *pair, 30s);
  } else if (command == "batch") {
    Batch(*stub);
  } else if (command == "stream") {
    Stream(*stub);
  } else if (command == "deadline") {
    Ask(*stub, FirstPair(), 200ms);
  } else if (command == "cancel") {
    Cancel(*stub, FirstPair());
  } else if (command == "health") {
    CheckHealth(channel);
  } else {
    Fail("usage: example answer|batch|stream|deadline|cancel|retry|health");
  }
}
