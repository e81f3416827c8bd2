/** Asks SpanQA with grpc-js. The commands and variables are in ../README.md. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type CallOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { BadRequest, ErrorInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "./gen/health/v1/health.js";
import {
  type Answer,
  AnswerRequest,
  type AnswerResponse,
  type BatchAnswerItem,
  OffsetEncoding,
  QuestionAnsweringServiceClient,
  type StreamAnswerRequest,
  type StreamAnswerResponse,
} from "./gen/spanqa/v1/question_answering.js";

const OPTIONS = {
  // The default, 4 MiB, is too small for the replies of ComputeLogits.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // The server refuses pings that come more often than every 10 s.
  "grpc.keepalive_time_ms": 30_000,
};

// grpc-js has no client-side health checks (healthCheckConfig).
const SERVICE = "spanqa.v1.QuestionAnsweringService";
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [
        { service: SERVICE, method: "Answer" },
        { service: SERVICE, method: "BatchAnswer" },
        { service: SERVICE, method: "AnswerFromDocuments" },
        { service: SERVICE, method: "ComputeLogits" },
        { service: SERVICE, method: "GetModel" },
      ],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 3,
        retryableStatusCodes: ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"],
      },
    },
  ],
};
const RETRIES = {
  "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  // Larger requests are not repeated; the default is 1 MiB.
  "grpc.per_rpc_retry_buffer_size": 16 * 1024 * 1024,
};

type Client = QuestionAnsweringServiceClient;
type Unary<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, reply: Reply) => void,
) => ClientUnaryCall;

const metadata = new Metadata();

/** A promise in place of grpc-js's callback. */
function call<Request, Reply>(
  method: Unary<Request, Reply>,
  request: Request,
  { timeoutMs = 30_000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + timeoutMs };
    const started = method(request, metadata, options, (error, reply) =>
      error ? reject(error) : resolve(reply),
    );
    signal?.addEventListener("abort", () => started.cancel(), { once: true });
  });
}

async function answer(client: Client): Promise<void> {
  for await (const request of requests()) {
    const described = (reply: AnswerResponse) => {
      const { text, start, end } = best(reply);
      const cut = request.context.slice(start, end);
      return { text, start, end, unit: OffsetEncoding[reply.offsetEncoding], cut };
    };
    print(await call(client.answer.bind(client), request).then(described, failure));
  }
}

async function batch(client: Client): Promise<void> {
  const all: AnswerRequest[] = [];
  for await (const request of requests()) all.push(request);
  await call(client.batchAnswer.bind(client), { requests: all }).then(
    ({ items }) => items.forEach((item) => print(outcome(item))),
    (error: ServiceError) => print(failure(error)),
  );
}

async function stream(client: Client): Promise<void> {
  const started = client.streamAnswer(metadata);
  try {
    await Promise.all([send(started), receive(started)]);
  } catch (error) {
    if (!(error instanceof Error && "metadata" in error)) throw error;
    print(failure(error as ServiceError));
  } finally {
    process.stdin.destroy();
  }
}

async function send(started: ClientWritableStream<StreamAnswerRequest>): Promise<void> {
  let number = 0;
  for await (const request of requests()) {
    const room = started.write({ id: String(number++), request });
    if (!room) await once(started, "drain");
  }
  started.end();
}

async function receive(started: ClientReadableStream<StreamAnswerResponse>): Promise<void> {
  for await (const item of started) print({ id: item.id, ...outcome(item) });
}

async function deadline(client: Client): Promise<void> {
  const reply = call(client.answer.bind(client), await first(), { timeoutMs: 200 });
  print(await reply.then(textOf, failure));
}

async function cancel(client: Client): Promise<void> {
  const signal = AbortSignal.timeout(200);
  print(await call(client.answer.bind(client), await first(), { signal }).then(textOf, failure));
}

async function retry(client: Client): Promise<void> {
  for await (const request of requests()) {
    print(await call(client.answer.bind(client), request).then(textOf, failure));
  }
}

async function health(client: Client): Promise<void> {
  const channelOverride = client.getChannel();
  const checks = new HealthClient("", credentials.createInsecure(), { channelOverride });
  const reply = call(checks.check.bind(checks), { service: "" });
  print(await reply.then(({ status }) => ({ status: ServingStatus[status] }), failure));
}

/** The best answer. There always is one, unless the request allows for none. */
function best({ answers: [answer], offsetEncoding }: AnswerResponse): Answer {
  if (offsetEncoding !== OffsetEncoding.UTF16) throw new Error("offsets in another unit");
  if (!answer) throw new Error("a reply without an answer");
  return answer;
}

const textOf = (reply: AnswerResponse) => ({ text: best(reply).text });

function outcome({ result }: BatchAnswerItem | StreamAnswerResponse): object {
  switch (result?.$case) {
    case "response":
      return textOf(result.value);
    case "error":
      return refusal(result.value);
    default:
      throw new Error("an item has neither a response nor an error");
  }
}

function failure(error: ServiceError): object {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (bytes) return refusal(Status.decode(bytes as Buffer));
  return { code: status[error.code], message: error.details };
}

function refusal({ code, message, details }: Status): object {
  const told: Record<string, unknown> = { code: status[code], message };
  for (const { typeUrl, value } of details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) told.reason = ErrorInfo.decode(value).reason;
    if (typeUrl.endsWith("/google.rpc.BadRequest")) {
      const { fieldViolations } = BadRequest.decode(value);
      told.fields = Object.fromEntries(fieldViolations.map((one) => [one.field, one.description]));
    }
  }
  return told;
}

/** Reads only as fast as it is asked; node:readline would read a thousand lines ahead. */
async function* requests(): AsyncGenerator<AnswerRequest> {
  let rest = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield parse(line);
  }
  if (rest) yield parse(rest);
}

function parse(line: string): AnswerRequest {
  try {
    const { question, context } = JSON.parse(line);
    // Strings of JavaScript count UTF-16 code units.
    const options = { offsetEncoding: OffsetEncoding.UTF16 };
    return AnswerRequest.fromPartial({ question, context, options });
  } catch {
    fail(`standard input: not a pair in JSON: ${line.slice(0, 60)}`);
  }
}

async function first(): Promise<AnswerRequest> {
  for await (const request of requests()) return request;
  fail("standard input: no pair");
}

/** Node.js writes to pipes and files at once: there is nothing to flush. */
function print(line: object): void {
  console.log(JSON.stringify(line));
}

function fail(message: string): never {
  console.error(`example: ${message}`);
  process.exit(2);
}

const COMMANDS = { answer, batch, stream, deadline, cancel, retry, health };

async function main([name = ""]: string[]): Promise<void> {
  const { SPANQA_TARGET: target, SPANQA_CA: authority, SPANQA_TOKEN: token } = process.env;
  if (!Object.hasOwn(COMMANDS, name)) fail(`commands: ${Object.keys(COMMANDS).join(", ")}`);
  if (!target) fail("SPANQA_TARGET is not set");
  if (token) metadata.set("authorization", `Bearer ${token}`);
  // A list must have IP addresses. A name needs no list: DNS may have several addresses for it.
  const address = target.includes(",") ? `ipv4:${target}` : target;
  const security = authority
    ? credentials.createSsl(readFileSync(authority))
    : credentials.createInsecure();
  const options = name === "retry" ? { ...OPTIONS, ...RETRIES } : OPTIONS;
  const client = new QuestionAnsweringServiceClient(address, security, options);
  await COMMANDS[name as keyof typeof COMMANDS](client);
  client.close();
}

main(process.argv.slice(2)).catch((error: Error) => fail(error.message));
