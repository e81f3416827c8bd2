"""Traces: one from the caller to Triton, and nothing that depends on them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.collector import CLIENT, SERVER, Collector, Span, collector
from support.processes import RunningServer, open_channel, running_server, stopped

QUESTION = pb.AnswerRequest(question="Who?", context="It was Ada.")
ANSWER = "spanqa.v1.QuestionAnsweringService/Answer"
STREAM = "spanqa.v1.QuestionAnsweringService/StreamAnswer"
STAGES = {"tokenize", "queue", "infer", "decode"}
TRITON = {"InferRequest", "bert_qa", "compute"}
SERVER_SECONDS = 3
CANCELLED, INVALID, LATE = 1, 3, 4


@pytest.fixture(scope="module")
def collected() -> Iterator[Collector]:
    with collector() as listening:
        yield listening


@pytest.fixture(scope="module")
def server(
    tiny_repository: Path, collected: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Two workers that trace only calls whose callers want it."""
    log = tmp_path_factory.mktemp("traced") / "server.log"
    arguments = ("--otlp-endpoint", collected.endpoint, "--trace-ratio", "0", "--workers", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        seconds = ("--default-timeout", str(SERVER_SECONDS), "--log-level", "DEBUG")
        with running_server(tiny_repository, log, *arguments, *seconds) as running:
            yield running


@pytest.fixture(scope="module")
def kept() -> InMemorySpanExporter:
    """Spans of this process, whose provider can be set once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def callers(kept: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """Spans of callers, whose channels are traced from now on."""
    kept.clear()
    instrumentor = GrpcInstrumentorClient()  # type: ignore[no-untyped-call]
    instrumentor.instrument()
    # The span of a stream that is dropped would stay current for all tests that follow.
    before = context.attach(context.get_current())
    try:
        yield kept
    finally:
        context.detach(before)
        instrumentor.uninstrument()


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Of its trace, and its own."""
    here = span.get_span_context()
    assert here
    return f"{here.trace_id:032x}", f"{here.span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    return ids(span)[0]


def wait_for(
    server: RunningServer, collected: Collector, trace: str, wanted: Callable[[list[Span]], bool]
) -> dict[str, Span]:
    """Wait until the trace holds these spans; by name."""
    with grpc.insecure_channel(server.target) as channel:
        # Triton lets go of a trace with its next request.
        QuestionAnsweringServiceStub(channel).Answer(QUESTION, timeout=SERVER_SECONDS)
    collected.wait_for(lambda: wanted(collected.of(trace)))
    return {span.name: span for span in collected.of(trace)}


def names(*wanted: str) -> Callable[[list[Span]], bool]:
    return lambda spans: {span.name for span in spans} >= {*wanted}


def test_one_trace_from_the_caller_to_triton(
    server: RunningServer, collected: Collector, callers: InMemorySpanExporter
) -> None:
    with spanqa.Client(server.target) as client:
        client.answer("Who?", "It was Ada.")
    [caller] = callers.get_finished_spans()
    spans = wait_for(server, collected, trace_of(caller), names(ANSWER, *STAGES, *TRITON))
    assert {*spans} == {ANSWER, *STAGES, *TRITON}
    assert not any(span.failed for span in spans.values())
    assert spans[ANSWER].parent == ids(caller)[1]
    assert spans[ANSWER].kind == SERVER
    assert spans[ANSWER].attributes["rpc.grpc.status_code"] == 0
    assert {spans[name].parent for name in STAGES} == {spans[ANSWER].id}
    assert spans["infer"].kind == CLIENT
    assert spans["InferRequest"].parent == spans["infer"].id
    services = [spans[name].resource["service.name"] for name in ("infer", "InferRequest")]
    assert services == ["spanqa-server", "triton-inference-server"]
    told = {name: spans["infer"].attributes[f"spanqa.{name}"] for name in ("tokens", "windows")}
    assert told == {"tokens": 9, "windows": 1}
    assert spans["infer"].attributes["spanqa.model_version"] == "1"
    assert trace_of(caller) in server.log.read_text()


def test_a_batch_is_one_call_with_stages_of_each_pair(
    server: RunningServer, collected: Collector, callers: InMemorySpanExporter
) -> None:
    with spanqa.Client(server.target) as client:
        client.answer_batch([("Who?", f"It was Ada the {n}th.") for n in range(3)])
    [caller] = callers.get_finished_spans()
    counts = dict.fromkeys(STAGES, 3)

    def complete(spans: list[Span]) -> bool:
        found = [span.name for span in spans]
        return all(found.count(name) >= count for name, count in counts.items())

    wait_for(server, collected, trace_of(caller), complete)


def test_a_request_that_is_wrong(
    server: RunningServer, collected: Collector, callers: InMemorySpanExporter
) -> None:
    with spanqa.Client(server.target) as client, pytest.raises(spanqa.InvalidArgumentError):
        client.answer("", "It was Ada.")
    [caller] = callers.get_finished_spans()
    assert not caller.status.is_ok
    spans = wait_for(server, collected, trace_of(caller), names(ANSWER))
    assert not spans[ANSWER].failed, "the caller's fault"
    assert spans[ANSWER].attributes["rpc.grpc.status_code"] == INVALID


def test_a_call_that_fails(
    server: RunningServer, collected: Collector, callers: InMemorySpanExporter
) -> None:
    with (
        stopped(server.triton()),
        spanqa.Client(server.target, timeout=None) as client,
        pytest.raises(spanqa.DeadlineExceededError),
    ):
        client.answer("Who?", "It was Ada.")
    [caller] = callers.get_finished_spans()
    spans = wait_for(server, collected, trace_of(caller), names(ANSWER, "infer"))
    assert spans[ANSWER].failed
    assert spans[ANSWER].attributes["rpc.grpc.status_code"] == LATE


def test_streams_that_are_dropped(
    server: RunningServer, collected: Collector, callers: InMemorySpanExporter
) -> None:
    """At any moment; each is a span that says so, and nothing in the log."""
    context = "It was Ada. " * 2000
    with grpc.insecure_channel(server.target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        for number in range(8):
            pair = pb.AnswerRequest(question="Who?", context=context if number % 2 else "Ada.")
            entries = [pb.StreamAnswerRequest(id=str(n), request=pair) for n in range(50)]
            stream = stub.StreamAnswer(iter(entries))
            if not number % 2:
                next(stream)
            stream.cancel()
        stub.Answer(QUESTION, timeout=30)
    server.wait_until_idle(30)

    def cancelled() -> int:
        streams = [span for span in collected.spans if span.name == STREAM]
        return sum(span.attributes["rpc.grpc.status_code"] == CANCELLED for span in streams)

    collected.wait_for(lambda: cancelled() >= 4)
    assert "Failed to detach" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_each_worker_sends_its_own(server: RunningServer, collected: Collector) -> None:
    sampled = (("traceparent", f"00-{7:032x}-{7:016x}-01"),)
    for _ in range(16):
        with open_channel(server.target, None) as channel:
            stub = QuestionAnsweringServiceStub(channel)
            stub.Answer(QUESTION, timeout=10, metadata=sampled)

    def calls() -> list[Span]:
        return [span for span in collected.of(f"{7:032x}") if span.name == ANSWER]

    collected.wait_for(lambda: len(calls()) >= 16)
    assert len({span.resource["process.pid"] for span in calls()}) == 2


def test_a_caller_that_wants_no_trace_gets_none(
    server: RunningServer, collected: Collector
) -> None:
    unsampled, sampled = ((("traceparent", f"00-{n:032x}-{n:016x}-0{n % 2}"),) for n in (8, 9))
    with grpc.insecure_channel(server.target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        stub.Answer(QUESTION, timeout=10, metadata=unsampled)
        stub.Answer(QUESTION, timeout=10, metadata=sampled)
    wait_for(server, collected, f"{9:032x}", names(ANSWER, *TRITON))
    assert collected.of(f"{8:032x}") == []


def test_no_traces_without_the_setting(
    tiny_repository: Path,
    tmp_path: Path,
    callers: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collector() as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.endpoint)
        with (
            running_server(tiny_repository, tmp_path / "log", "--log-level", "DEBUG") as server,
            spanqa.Client(server.target) as client,
        ):
            client.answer("Who?", "It was Ada.")
            assert "--trace-config" not in " ".join(server.triton().cmdline())
            assert server.stop() == 0
        assert listening.spans == []
    [caller] = [span for span in callers.get_finished_spans() if span.name == f"/{ANSWER}"]
    assert trace_of(caller) not in (tmp_path / "log").read_text()
