//! Asks SpanQA. The README of the directory above lists the commands and the variables.

mod channel;
mod retry;

use std::collections::HashMap;
use std::error::Error;
use std::process::{ExitCode, exit};
use std::time::Duration;
use std::{env, io, thread};

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{sleep, timeout};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::RpcStatusExt;

use channel::Service;
use pb::question_answering_service_client::QuestionAnsweringServiceClient;
use pb::{AnswerOptions, AnswerRequest, AnswerResponse, BatchAnswerRequest, OffsetEncoding};
use pb::{StreamAnswerRequest, batch_answer_item, stream_answer_response};

mod pb {
    tonic::include_proto!("spanqa.v1");
}

mod rpc {
    tonic::include_proto!("google.rpc");
}

type Client = QuestionAnsweringServiceClient<Service>;

const USAGE: &str = "usage: example answer|batch|stream|deadline|cancel|retry|health";
const TIMEOUT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = run().await else {
        return ExitCode::SUCCESS;
    };
    if let Some(status) = error.downcast_ref::<Status>() {
        print(failure(status));
        return ExitCode::SUCCESS;
    }
    eprintln!("example: {error}");
    ExitCode::from(2)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [command] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let targets = env::var("SPANQA_TARGET").map_err(|_| "set SPANQA_TARGET to host:port")?;
    let service = channel::connect(&targets)?;
    // tonic refuses messages over 4 MiB unless told otherwise.
    let mut client = Client::new(service.clone()).max_decoding_message_size(64 << 20);
    match command.as_str() {
        "answer" => {
            let mut pairs = read_pairs();
            while let Some(pair) = pairs.recv().await {
                let context = pair.context.clone();
                let answered = answer(&mut client, pair, TIMEOUT).await;
                print(answered.map_or_else(|status| failure(&status), |it| found(&it, &context)));
            }
        }
        "batch" => batch(client, read_pairs()).await?,
        "stream" => stream(client, read_pairs()).await?,
        "deadline" => {
            let pair = read_pairs().recv().await.ok_or("standard input has no pair")?;
            print(text(&answer(&mut client, pair, SHORT).await?));
        }
        "cancel" => {
            let pair = read_pairs().recv().await.ok_or("standard input has no pair")?;
            // A call is cancelled by dropping its future, so tonic has no status for it.
            let answered = timeout(SHORT, answer(&mut client, pair, TIMEOUT)).await;
            print(text(&answered.map_err(|_| Status::cancelled("given up"))??));
        }
        "retry" => {
            let mut pairs = read_pairs();
            while let Some(pair) = pairs.recv().await {
                let answered = retry::answer(&mut client, pair).await;
                print(answered.map_or_else(|status| failure(&status), |it| text(&it)));
            }
        }
        "health" => {
            let mut health = HealthClient::new(service);
            let asked = HealthCheckRequest { service: "spanqa.v1.QuestionAnsweringService".into() };
            let told = call(asked, TIMEOUT, async |it| health.check(it).await).await?;
            print(json!({"status": told.status().as_str_name()}));
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

async fn answer(
    client: &mut Client,
    request: AnswerRequest,
    limit: Duration,
) -> Result<AnswerResponse, Status> {
    call(request, limit, async |it| client.answer(it).await).await
}

/// A call with a deadline.
async fn call<T, R>(
    message: T,
    limit: Duration,
    method: impl AsyncFnOnce(Request<T>) -> Result<Response<R>, Status>,
) -> Result<R, Status> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    // set_timeout tells the server. tonic watches the time as well, but not while it connects, and
    // it ends the call with CANCELLED. This clock starts earlier and is looked at first.
    tokio::select! {
        biased;
        () = sleep(limit) => Err(Status::deadline_exceeded("no answer in time")),
        answered = method(request) => answered.map(Response::into_inner),
    }
}

async fn batch(mut client: Client, mut pairs: Receiver<AnswerRequest>) -> Result<(), Status> {
    let mut requests = Vec::new();
    while let Some(pair) = pairs.recv().await {
        requests.push(pair);
    }
    let asked = BatchAnswerRequest { requests };
    let answered = call(asked, TIMEOUT, async |it| client.batch_answer(it).await).await?;
    for item in answered.items {
        print(match item.result {
            Some(batch_answer_item::Result::Response(response)) => text(&response),
            Some(batch_answer_item::Result::Error(error)) => refusal(&error),
            None => return Err(Status::internal("an item without a result")),
        });
    }
    Ok(())
}

async fn stream(mut client: Client, pairs: Receiver<AnswerRequest>) -> Result<(), Status> {
    let mut next = 0;
    // tonic takes a pair out of the channel when the connection has room for it.
    let requests = ReceiverStream::new(pairs).map(move |pair| {
        let id = next.to_string();
        next += 1;
        StreamAnswerRequest { id, request: Some(pair) }
    });
    let mut answers = client.stream_answer(requests).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let mut line = match answer.result {
            Some(stream_answer_response::Result::Response(response)) => text(&response),
            Some(stream_answer_response::Result::Error(error)) => refusal(&error),
            None => return Err(Status::internal("an item without a result")),
        };
        line["id"] = answer.id.into();
        print(line);
    }
    Ok(())
}

/// The pairs of standard input. Its thread waits where tonic takes no more of them.
fn read_pairs() -> Receiver<AnswerRequest> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        for (number, line) in (1..).zip(io::stdin().lines()) {
            let parsed = line.map_err(Box::from).and_then(|line| parse(&line));
            let pair = parsed.unwrap_or_else(|error| {
                eprintln!("example: line {number} of standard input: {error}");
                exit(2)
            });
            if sender.blocking_send(pair).is_err() {
                break;
            }
        }
    });
    receiver
}

fn parse(line: &str) -> Result<AnswerRequest, Box<dyn Error>> {
    let pair: Value = serde_json::from_str(line)?;
    let field = |name| pair[name].as_str().map(str::to_owned).ok_or(format!("no {name}"));
    let unit = OffsetEncoding::Utf8.into();
    Ok(AnswerRequest {
        question: field("question")?,
        context: field("context")?,
        options: Some(AnswerOptions { offset_encoding: unit, ..Default::default() }),
    })
}

/// The best answer, and what its offsets cut out of the context.
fn found(response: &AnswerResponse, context: &str) -> Value {
    let Some(best) = response.answers.first() else {
        return text(response);
    };
    let cut = &context[best.start as usize..best.end as usize];
    let unit = response.offset_encoding().as_str_name().trim_start_matches("OFFSET_ENCODING_");
    json!({"text": best.text, "start": best.start, "end": best.end, "unit": unit, "cut": cut})
}

fn text(response: &AnswerResponse) -> Value {
    json!({"text": response.answers.first().map(|best| &best.text)})
}

fn failure(status: &Status) -> Value {
    json!({"code": code_name(status.code().into()), "message": status.message()})
}

/// A pair that was refused or failed, with the details of its google.rpc.Status.
fn refusal(error: &tonic_types::Status) -> Value {
    let details = error.get_error_details();
    let violations = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
    let fields: HashMap<_, _> = violations.map(|one| (&one.field, &one.description)).collect();
    let reason = details.error_info().map(|info| &info.reason);
    let code = code_name(error.code);
    json!({"code": code, "message": error.message, "reason": reason, "fields": fields})
}

fn code_name(code: i32) -> &'static str {
    rpc::Code::try_from(code).unwrap_or(rpc::Code::Unknown).as_str_name()
}

fn print(line: Value) {
    // Rust flushes standard output after each line, into a pipe too.
    println!("{line}");
}
