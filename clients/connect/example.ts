/** Asks SpanQA with Connect over gRPC. The commands and variables are in ../README.md. */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Code as RpcCode } from "./gen/google/rpc/code_pb.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "./gen/health/v1/health_pb.js";
import {
  type Answer,
  type AnswerRequestSchema,
  type AnswerResponse,
  type BatchAnswerItem,
  OffsetEncoding,
  QuestionAnsweringService,
  type StreamAnswerRequestSchema,
  type StreamAnswerResponse,
} from "./gen/spanqa/v1/question_answering_pb.js";

type AnswerRequest = MessageInitShape<typeof AnswerRequestSchema> & { context: string };

const TIMEOUT = { timeoutMs: 30_000 };

/**
 * All addresses in turn, and up to five attempts within the time of a call: Connect has neither
 * retries nor load balancing. A stream is never repeated.
 */
function retrying(transports: Transport[]): Transport {
  let turn = 0;
  const at = (place: number) => transports[place % transports.length]!;
  return {
    async unary(method, signal, timeoutMs = 30_000, ...rest) {
      const end = Date.now() + timeoutMs;
      const place = turn++;
      for (let attempt = 1; ; attempt++) {
        try {
          // 0 would be no limit.
          const left = Math.max(1, end - Date.now());
          return await at(place + attempt).unary(method, signal, left, ...rest);
        } catch (reason) {
          const pause = pauseAfter(attempt, ConnectError.from(reason));
          if (pause === undefined || signal?.aborted || Date.now() + pause >= end) throw reason;
          await setTimeout(pause, undefined, { signal });
        }
      }
    },
    stream: (...call) => at(turn++).stream(...call),
  };
}

/** Milliseconds, or undefined where it is no use to try again. */
function pauseAfter(attempt: number, error: ConnectError): number | undefined {
  if (attempt === 5) return undefined;
  switch (error.code) {
    case Code.ResourceExhausted: {
      // An overloaded server says when to come back. Without that, a message was too large.
      const [info] = error.findDetails(RetryInfoSchema);
      return info?.retryDelay && durationMs(info.retryDelay);
    }
    // A server that shuts down cancels; a connection that breaks is Aborted or Canceled in Connect.
    case Code.Unavailable:
    case Code.Canceled:
    case Code.Aborted:
      return Math.min(2000, 100 * 3 ** (attempt - 1)) * (0.8 + 0.4 * Math.random());
    default:
      return undefined;
  }
}

function connect(target: string): Transport {
  const { SPANQA_CA: authority, SPANQA_TOKEN: token } = process.env;
  const authorized: Interceptor = (next) => (request) => {
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  return createGrpcTransport({
    baseUrl: `${authority ? "https" : "http"}://${target}`,
    // With Node.js's 10 MB, a call hangs when the server refuses a larger message.
    nodeOptions: { maxSessionMemory: 1000, ca: authority && readFileSync(authority) },
    interceptors: [authorized],
    // The default is 4 GiB.
    readMaxBytes: 64 * 1024 * 1024,
    // The server refuses pings that come more often than every 10 s.
    pingIntervalMs: 30_000,
  });
}

type Service = Client<typeof QuestionAnsweringService>;

async function answer(client: Service): Promise<void> {
  for await (const request of requests()) {
    const described = (reply: AnswerResponse) => {
      const { text, start, end } = best(reply);
      const cut = request.context.slice(start, end);
      return { text, start, end, unit: OffsetEncoding[reply.offsetEncoding], cut };
    };
    print(await client.answer(request, TIMEOUT).then(described, failure));
  }
}

async function batch(client: Service): Promise<void> {
  const all: AnswerRequest[] = [];
  for await (const request of requests()) all.push(request);
  await client.batchAnswer({ requests: all }, TIMEOUT).then(
    ({ items }) => items.forEach((item) => print(outcome(item))),
    (error) => print(failure(error)),
  );
}

async function stream(client: Service): Promise<void> {
  try {
    // A pair is taken when HTTP/2's flow control has let the one before it out.
    for await (const item of client.streamAnswer(numbered())) {
      print({ id: item.id, ...outcome(item) });
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    print(failure(error));
  } finally {
    process.stdin.destroy();
  }
}

async function* numbered(): AsyncGenerator<MessageInitShape<typeof StreamAnswerRequestSchema>> {
  let number = 0;
  for await (const request of requests()) yield { id: String(number++), request };
}

async function deadline(client: Service): Promise<void> {
  print(await client.answer(await first(), { timeoutMs: 200 }).then(textOf, failure));
}

async function cancel(client: Service): Promise<void> {
  const signal = AbortSignal.timeout(200);
  print(await client.answer(await first(), { signal }).then(textOf, failure));
}

async function retry(client: Service): Promise<void> {
  for await (const request of requests()) {
    print(await client.answer(request, TIMEOUT).then(textOf, failure));
  }
}

async function health(_client: Service, transport: Transport): Promise<void> {
  const reply = createClient(Health, transport).check({}, TIMEOUT);
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
  switch (result.case) {
    case "response":
      return textOf(result.value);
    case "error":
      return failure(toError(result.value));
    default:
      throw new Error("an item has neither a response nor an error");
  }
}

/** What a call with this status would have thrown. */
function toError({ code, message, details }: Status): ConnectError {
  const error = new ConnectError(message, code);
  error.details = details.map((one) => ({
    type: one.typeUrl.split("/").at(-1)!,
    value: one.value,
  }));
  return error;
}

function failure(reason: unknown): object {
  const error = ConnectError.from(reason);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  const fields =
    bad && Object.fromEntries(bad.fieldViolations.map((one) => [one.field, one.description]));
  return { code: RpcCode[error.code], message: error.rawMessage, reason: info?.reason, fields };
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
    return { question, context, options };
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
  const targets = process.env.SPANQA_TARGET?.split(",") ?? fail("SPANQA_TARGET is not set");
  if (!Object.hasOwn(COMMANDS, name)) fail(`commands: ${Object.keys(COMMANDS).join(", ")}`);
  const transports = targets.map(connect);
  const transport = name === "retry" ? retrying(transports) : transports[0]!;
  const client = createClient(QuestionAnsweringService, transport);
  await COMMANDS[name as keyof typeof COMMANDS](client, transport);
}

main(process.argv.slice(2)).catch((error: Error) => fail(error.message));
