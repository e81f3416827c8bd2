"""However a pair is asked, its answer is the same, and it is what the API says of answers."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import grpc
import pytest
from google.rpc import status_pb2
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import cut, rank, reason, violations
from support.processes import RunningServer
from support.ways import Replies, Reply, Response, ask, code_points

ROUNDING = 1e-4  # of float32, where windows meet others in a batch
THREADS = 20
WORDS = [
    *("Marie", "Curie", "was", "born", "in", "Warsaw", "1867.", "Who?", "the", "sea", "it's"),
    *("[SEP]", "[CLS]", "👩‍🚀", "🇵🇱", "e\u0301", "한국어", "東京", "שלום", "𝔘", "naïve", "x" * 120),
    *("\u00a0", "\x00", "\r\n", "\u200b", "\ufeff", "…", "##s", "a.b,c"),
]
CHARACTERS = st.characters(exclude_categories=["Cs"])
PIECES = st.one_of(*[st.sampled_from(WORDS)] * 4, st.text(CHARACTERS, min_size=1, max_size=8))


def texts(most: int) -> st.SearchStrategy[str]:
    return st.lists(PIECES, min_size=1, max_size=most).map(" ".join)


def numbers(*usual: int) -> st.SearchStrategy[int]:
    return st.sampled_from([*usual * 20, -1])


def pairs(*, no_answer: bool) -> st.SearchStrategy[pb.AnswerRequest]:
    """Pairs of which most can be answered, many in several windows."""
    options = st.builds(
        pb.AnswerOptions,
        top_k=numbers(0, 1, 3, 10),
        max_answer_tokens=numbers(0, 1, 5),
        max_sequence_tokens=numbers(0, 0, 24, 40),
        doc_stride_tokens=numbers(0, 0, 0, 1, 5),
        min_probability=st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.2, 1.0]),
        allow_no_answer=st.booleans() if no_answer else st.just(False),
        no_answer_threshold=st.sampled_from([0.0, -3.0, -8.0, 0.5]),
        # Without it, rounding that swaps two spans changes what is chosen after them.
        allow_overlap=st.just(True),
    )
    contexts = st.tuples(texts(20), st.sampled_from([1, 1, 2, 4])).map(lambda two: two[0] * two[1])
    return st.builds(pb.AnswerRequest, question=texts(4), context=contexts, options=options)


def check_reply(pair: pb.AnswerRequest, reply: Reply) -> None:
    """Offsets, order, distinctness, probabilities and the options of one reply."""
    if isinstance(reply.result, status_pb2.Status):
        assert reason(reply.result) == "INVALID_REQUEST"
        assert violations(reply.result)
        return
    answers, options = reply.result.answers, pair.options
    for answer in answers:
        assert cut(pair.context, answer.start, answer.end, reply.unit) == answer.text != ""
        assert answer.score == pytest.approx(answer.start_logit + answer.end_logit, abs=ROUNDING)
        assert options.min_probability <= answer.probability <= 1
        assert answer.document_index == 0
    assert len({(answer.start, answer.end) for answer in answers}) == len(answers)
    assert list(answers) == sorted(answers, key=rank)
    assert len(answers) <= (options.top_k or 1)
    total = math.fsum(answer.probability for answer in answers)
    assert 0 <= reply.result.no_answer_probability <= 1
    assert total + reply.result.no_answer_probability <= 1 + 1e-9
    assert options.allow_no_answer or reply.result.no_answer_probability == 0
    assert not (reply.result.no_answer and answers)
    assert options.allow_no_answer or not reply.result.no_answer
    # Nothing can be left out but by an option.
    assert answers or reply.result.no_answer or options.min_probability > 0


def check_equal(pair: pb.AnswerRequest, one: Reply, other: Reply) -> None:
    """The same status, or the same answers up to rounding."""
    first, second = one.result, other.result
    if isinstance(first, status_pb2.Status) or isinstance(second, status_pb2.Status):
        assert isinstance(first, status_pb2.Status)
        assert isinstance(second, status_pb2.Status)
        assert told(first) == told(second)
        return
    assert first.no_answer == second.no_answer
    assert first.no_answer_probability == pytest.approx(second.no_answer_probability, abs=ROUNDING)
    assert first.usage == second.usage
    assert first.model_version == second.model_version
    places = [
        {code_points(pair.context, a, reply.unit): a for a in result.answers}
        for reply, result in ((one, first), (other, second))
    ]
    for mine, theirs in (places, places[::-1]):
        for place, answer in mine.items():
            if place in theirs:
                assert answer.text == theirs[place].text
                assert answer.score == pytest.approx(theirs[place].score, abs=ROUNDING)
                assert answer.probability == pytest.approx(theirs[place].probability, abs=ROUNDING)
            else:
                assert is_borderline(pair.options, answer, list(theirs.values()))


def is_borderline(options: pb.AnswerOptions, answer: pb.Answer, others: list[pb.Answer]) -> bool:
    """Whether rounding alone can have left the answer out of the others."""
    last = len(others) == (options.top_k or 1) and answer.score <= others[-1].score + ROUNDING
    return last or answer.probability <= options.min_probability + ROUNDING


def told(status: status_pb2.Status) -> dict[str, str]:
    """What is wrong with which field, under the names of AnswerRequest."""
    renamed = {"documents": "context"}
    fields = ((name.removeprefix("request."), why) for name, why in violations(status).items())
    return {renamed.get(name, name): why for name, why in fields}


def kind_of(result: Response | status_pb2.Status) -> str:
    if isinstance(result, status_pb2.Status):
        return "refused"
    windows = "several windows" if result.usage.windows > 1 else "one window"
    return "no answer" if result.no_answer else windows


def check(pair: pb.AnswerRequest, replies: Replies) -> str:
    """All properties of one example; returns what kind of example it was."""
    for reply in (replies.alone, *replies.others):
        check_reply(pair, reply)
    for other in replies.others:
        check_equal(pair, replies.alone, other)
    assert all(item.WhichOneof("result") for item in replies.neighbours)
    return kind_of(replies.alone.result)


def run_examples(
    stub: QuestionAnsweringServiceStub,
    pair_of: st.SearchStrategy[pb.AnswerRequest],
    number: int,
    count: int,
) -> Counter[str]:
    """`count` examples of one thread, which nobody else has: its number is their seed."""
    kinds: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(pair=pair_of, neighbours=st.lists(pair_of, max_size=2), position=st.integers(0, 2))
    def holds(pair: pb.AnswerRequest, neighbours: list[pb.AnswerRequest], position: int) -> None:
        replies = ask(stub, pair, neighbours, min(position, len(neighbours)))
        kinds[check(pair, replies)] += 1

    holds()
    return kinds


def run_in_threads(server: RunningServer, count: int, *, no_answer: bool) -> Counter[str]:
    each = -(-count // THREADS)
    pair_of = pairs(no_answer=no_answer)
    with grpc.insecure_channel(server.target) as channel, ThreadPoolExecutor(THREADS) as threads:
        stub = QuestionAnsweringServiceStub(channel)
        parts: Iterable[Counter[str]] = threads.map(
            lambda number: run_examples(stub, pair_of, number, each), range(THREADS)
        )
        return sum(parts, Counter())


def test_a_hundred_examples(server: RunningServer) -> None:
    kinds = run_in_threads(server, 100, no_answer=False)
    assert kinds.total() >= 100
    assert kinds["one window"] > 30
    assert kinds["several windows"] > 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_thousand_examples(tiny_server: RunningServer, say: Callable[[str], None]) -> None:
    begin = monotonic()
    kinds = run_in_threads(tiny_server, 23_500, no_answer=True)
    answered = kinds.total() - kinds["refused"]
    seconds = monotonic() - begin
    say(f"{answered:,} examples of each property in {seconds:.0f} s; of all: {dict(kinds)}")
    assert answered >= 20_000
    assert all(kinds[kind] > 1_000 for kind in ("several windows", "no answer", "refused"))
