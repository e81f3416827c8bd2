"""Prometheus metrics; gauges say how those of several workers make one."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

CALLS = Counter("spanqa_calls", "Calls that ended.", ["method", "code"])
WORKER_CALLS = Gauge(
    "spanqa_worker_calls", "Calls that each worker has ended.", multiprocess_mode="liveall"
)
ITEMS = Counter("spanqa_items", "Pairs of batches and streams that ended.", ["method", "code"])
CALL_SECONDS = Histogram(
    "spanqa_call_seconds",
    "From a call's arrival to its end, by outcome: answered, refused, cancelled, failed.",
    ["method", "outcome"],
    buckets=SECONDS,
)
STAGE_SECONDS = Histogram(
    "spanqa_stage_seconds",
    "Time of an answered request by stage: tokenize, queue, infer, decode.",
    ["stage"],
    buckets=SECONDS,
)
QUESTION_TOKENS = Counter("spanqa_question_tokens", "Question tokens of answered requests.")
CONTEXT_TOKENS = Counter("spanqa_context_tokens", "Context tokens of answered requests.")
WINDOWS = Counter("spanqa_windows", "Windows of answered requests.")
TEXTS = Counter(
    "spanqa_texts", "Texts by where their tokens came from: cache or tokenizer.", ["source"]
)
TOKENS_IN_FLIGHT = Gauge(
    "spanqa_triton_tokens_in_flight", "Tokens at Triton now.", multiprocess_mode="livesum"
)
REQUESTS_WAITING = Gauge(
    "spanqa_requests_waiting",
    "Triton requests that wait for room.",
    multiprocess_mode="livesum",
)
ADMITTED_BYTES = Gauge(
    "spanqa_admitted_bytes",
    "Estimated memory of what is under way: calls, and pairs of batches and streams.",
    ["kind"],
    multiprocess_mode="livesum",
)
REFUSALS = Counter(
    "spanqa_refusals",
    "Calls and pairs refused, by reason: deadline (they would have waited too long), memory, "
    "calls (too many were open), silent (no message came in time), invalid, unauthenticated.",
    ["reason"],
)
MESSAGES_WAITING = Gauge(
    "spanqa_messages_waiting",
    "Calls that wait until their next message is received.",
    multiprocess_mode="livesum",
)
MESSAGES_LATE = Counter(
    "spanqa_messages_late",
    "First messages that had not come when others could wait for them no longer.",
)
MESSAGE_BYTES = Counter(
    "spanqa_message_bytes", "Bytes of the messages that were received, after decompression."
)
REPEATED_CALLS = Counter(
    "spanqa_repeated_calls", "Calls that their client sent again after a refusal or a failure."
)
TRITON_TOKENS = Counter("spanqa_triton_tokens", "Tokens for which Triton gave logits.")
IN_FLIGHT_LIMIT = Gauge(
    "spanqa_triton_tokens_in_flight_limit",
    "Tokens that may be at Triton now: what it does in half a second.",
    multiprocess_mode="livesum",
)
TRITONS = Gauge(
    "spanqa_tritons",
    "Triton servers that get calls (in), and that do not while they fail (out).",
    ["state"],
    multiprocess_mode="livemax",
)
MODEL_READY = Gauge(
    "spanqa_model_ready",
    "1 while Triton serves the model, else 0.",
    multiprocess_mode="livemin",
)
CANARIES = Counter(
    "spanqa_canaries",
    "Canary runs, by outcome: passed, timed_out, away, failed.",
    ["outcome"],
)
MODEL_SWITCHES = Counter(
    "spanqa_model_switches", "Times that another version took over, in each worker."
)
MODEL = Gauge(
    "spanqa_model",
    "1 for the version that serves, 0 for those before it.",
    ["name", "version", "dtype"],
    multiprocess_mode="livemin",
)
VERSION_STATE = Gauge(
    "spanqa_version_state",
    "1 for the state of each model version: loading, serving, standby, held, or broken as "
    "unreadable, not_loaded, failed.",
    ["version", "state"],
    multiprocess_mode="livemax",
)
