"""StreamAnswer: pairs in, answers out by id, as much at a time as the reader takes."""

import random
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import FILLER, reason, refused, violations
from support.processes import RunningServer
from support.triton import executed_requests

STREAM = "/spanqa.v1.QuestionAnsweringService/StreamAnswer"
ANSWERED = 'spanqa_items_total{code="OK",method="StreamAnswer"}'
WORKED_ON = 64  # ModelLimits.max_stream_pairs, checked below


def pair(number: int, filler: int = 0, **options: int) -> pb.AnswerRequest:
    return pb.AnswerRequest(
        question="What is the number of the house?",
        context=f"{FILLER * filler}The number of the house is {number}, they say.",
        options=pb.AnswerOptions(**options),  # type: ignore[arg-type]
    )


def entry(name: str, request: pb.AnswerRequest) -> pb.StreamAnswerRequest:
    return pb.StreamAnswerRequest(id=name, request=request)


def by_id(
    stub: QuestionAnsweringServiceStub, *entries: pb.StreamAnswerRequest
) -> dict[str, pb.StreamAnswerResponse]:
    """Send them all; every id must come back once."""
    responses = list(stub.StreamAnswer(iter(entries), timeout=120))
    assert len(responses) == len(entries)
    found = {response.id: response for response in responses}
    assert len(found) == len(entries)
    return found


def test_three_hundred_pairs_in_any_order(stub: QuestionAnsweringServiceStub) -> None:
    numbers = list(range(300))
    random.Random(1).shuffle(numbers)
    entries = [entry(f"house {n}", pair(n, filler=0 if n % 50 else 60)) for n in numbers]
    responses = by_id(stub, *entries)
    for name, response in responses.items():
        assert response.response.answers[0].text == name.removeprefix("house ")
    assert list(responses) != [e.id for e in entries], "short pairs overtake long ones"


def test_any_string_is_an_id(stub: QuestionAnsweringServiceStub) -> None:
    names = ["", " ", "0", "\x00", "東京\n", "👩‍🚀", "x" * 100_000]
    assert set(by_id(stub, *(entry(name, pair(7)) for name in names))) == set(names)


def test_bad_pairs_do_not_end_the_stream(stub: QuestionAnsweringServiceStub) -> None:
    good = [entry(str(number), pair(number)) for number in range(4)]
    bad = [
        entry("request.question", pb.AnswerRequest(context="It is here.")),
        entry("request.context", pb.AnswerRequest(question="Where?", context="\u3000")),
        entry("request.options.top_k", pair(7, top_k=-1)),
        entry("request.options.max_sequence_tokens", pair(7, max_sequence_tokens=5)),
    ]
    mixed = [one for both in zip(bad, good, strict=True) for one in both]
    responses = by_id(stub, *mixed)
    for one in bad:
        assert list(violations(responses[one.id].error)) == [one.id]
    for one in good:
        assert responses[one.id].response.answers[0].text == one.id


def test_an_id_under_way_is_refused_and_free_again_when_answered(
    stub: QuestionAnsweringServiceStub,
) -> None:
    answered = threading.Event()

    def requests() -> Iterator[pb.StreamAnswerRequest]:
        yield entry("twice", pair(1, filler=300))
        yield entry("twice", pair(2))
        assert answered.wait(60)
        yield entry("twice", pair(3))

    responses = []
    for response in stub.StreamAnswer(requests(), timeout=60):
        responses.append(response)
        if response.WhichOneof("result") == "response":
            answered.set()
    refused, first, again = responses
    assert "in use by another pair" in violations(refused.error)["id"]
    assert first.response.answers[0].text == "1"
    assert again.response.answers[0].text == "3"


def test_an_empty_stream(stub: QuestionAnsweringServiceStub) -> None:
    assert not list(stub.StreamAnswer(iter(()), timeout=10))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_thousand_pairs(tiny_server: RunningServer, say: Callable[[str], None]) -> None:
    """Each id is answered once, and what the stream holds does not grow with its length."""
    count, grown_bound = 20_000, 30 << 20
    process, left, sizes = psutil.Process(tiny_server.process.pid), set(range(count)), []
    begin = monotonic()
    with grpc.insecure_channel(tiny_server.target) as channel:
        entries = (entry(str(number), pair(number)) for number in range(count))
        for response in QuestionAnsweringServiceStub(channel).StreamAnswer(entries, timeout=1800):
            left.remove(int(response.id))
            assert response.response.answers
            if len(left) % 2000 == 0:
                sizes.append(process.memory_info().rss)
    assert not left
    seconds, megabytes = monotonic() - begin, [round(size / 2**20) for size in sizes]
    say(f"{count:,} pairs in {seconds:.0f} s; MB of the server, each 2,000 answers: {megabytes}")
    assert max(sizes) - sizes[0] <= grown_bound


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x03\xed\xa0\x80", b"\x12\x05\x0a"])
def test_bytes_that_are_no_message_end_the_stream(
    channel: grpc.Channel, stub: QuestionAnsweringServiceStub, raw: bytes
) -> None:
    call: Any = channel.stream_stream(STREAM)
    good = entry("good", pair(5)).SerializeToString()
    status = refused(lambda: list(call(iter([good, raw, good]), timeout=30)))
    assert reason(status) == "MALFORMED_REQUEST"
    assert "spanqa.v1.StreamAnswerRequest" in status.message
    assert by_id(stub, entry("next", pair(6)))["next"].response.answers[0].text == "6"


def test_a_reader_that_pauses_holds_the_stream(server: RunningServer) -> None:
    """Ids of 100 kB, so that what lies between the ends holds few requests and replies."""
    offered, in_buffers = 200, 100  # 4 MiB of requests, 64 KiB of replies
    taken, took_too_many = 0, threading.Event()

    def requests() -> Iterator[pb.StreamAnswerRequest]:
        nonlocal taken
        for number in range(offered):
            taken += 1
            if taken > WORKED_ON + in_buffers:
                took_too_many.set()
            yield entry(f"{number} {'x' * 100_000}", pair(number))

    def answered(metrics: dict[str, float]) -> float:
        return metrics.get(ANSWERED, 0) - before

    before = server.metrics().get(ANSWERED, 0)
    options = [("grpc.http2.bdp_probe", 0)]  # the client's window stays small
    with grpc.insecure_channel(server.target, options=options) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        assert stub.GetModel(pb.GetModelRequest()).limits.max_stream_pairs == WORKED_ON
        responses = stub.StreamAnswer(requests(), timeout=200)
        seen = [next(responses).id]
        server.wait_for_metrics(lambda now: answered(now) >= WORKED_ON, within=60)
        assert not took_too_many.wait(2), f"{taken} pairs were taken, 1 answer was read"
        assert WORKED_ON <= answered(server.metrics()) <= WORKED_ON + 10
        seen += [response.id for response in responses]
    assert sorted(int(name.split()[0]) for name in seen) == list(range(offered))


def test_a_cancelled_stream_leaves_no_work_behind(
    server: RunningServer, stub: QuestionAnsweringServiceStub
) -> None:
    offered = 400
    before = executed_requests(server)
    entries = (entry(str(n), pair(n, filler=10)) for n in range(offered))
    responses = stub.StreamAnswer(entries, timeout=60)
    next(responses)
    responses.cancel()
    server.wait_until_idle(within=1.0)
    # Triton finishes the batch that it has begun; an answer comes after it.
    stub.Answer(pair(1), timeout=30)
    # It counts a batch after its answers are out, but before the next batch.
    stub.Answer(pair(1), timeout=30)
    after = executed_requests(server)
    assert after - before < offered / 2
    for _ in range(3):
        stub.Answer(pair(1), timeout=30)
    # These three; of each count the last one may be missing.
    assert 2 <= executed_requests(server) - after <= 4
