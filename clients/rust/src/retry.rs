//! tonic has no retries by service config. This does by hand what the config of the README says,
//! for one call. (A stream cannot be repeated.)

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::{RetryInfo, StatusExt};

use crate::pb::{AnswerRequest, AnswerResponse};
use crate::{Client, TIMEOUT};

const BACKOFFS_MS: [u64; 4] = [100, 300, 900, 2000];

/// One deadline for all attempts.
pub async fn answer(client: &mut Client, request: AnswerRequest) -> Result<AnswerResponse, Status> {
    let deadline = Instant::now() + TIMEOUT;
    let mut backoffs = BACKOFFS_MS.into_iter().map(Duration::from_millis);
    loop {
        let left = deadline - Instant::now();
        let status = match crate::answer(client, request.clone(), left).await {
            Ok(response) => return Ok(response),
            Err(status) => status,
        };
        match backoffs.next().and_then(|backoff| pause(&status, backoff)) {
            Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
            _ => return Err(status),
        }
    }
}

/// How long to wait before the call is repeated; None if it is not to be.
fn pause(status: &Status, backoff: Duration) -> Option<Duration> {
    // RESOURCE_EXHAUSTED is repeated only with a RetryInfo, which the server sends when it is
    // overloaded. Without one a message is too large, and remains so.
    if let Some(RetryInfo { retry_delay }) = status.get_details_retry_info() {
        return retry_delay;
    }
    match status.code() {
        Code::Unavailable | Code::Cancelled => Some(backoff),
        // tonic says UNKNOWN where the connection breaks in the middle of a call. Unlike a status
        // that the server sent, this one has a source.
        Code::Unknown if status.source().is_some() => Some(backoff),
        _ => None,
    }
}
