"""The texts of one call: each tokenized once, long ones in threads, dropped when unwanted."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa.answerer import Answerer
from spanqa_server.qa.requests import ModelDefaults, Options, Question
from spanqa_server.qa.tokenizer import LONG_TEXT, CallTexts, TextTokenizer, TokenizedText
from unit.server.qa.played import NoThreads, PlayedModel, make_limits, no_cache
from unit.server.vocabulary import make_tokenizer

LONG = "the light keeper " * (LONG_TEXT // 17 + 1)
OTHER_LONG = LONG + "Anna"
SHORT = "the keeper"


class SpyTokenizer(TextTokenizer):
    """Says which texts it was given, and by which thread; waits for `gate` in other threads."""

    def __init__(self) -> None:
        super().__init__(make_tokenizer(lowercase=False))
        self.given: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def encode(self, text: str) -> TokenizedText:
        self.given.append(text)
        self.threads.add(threading.current_thread())
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            assert self.gate.wait(20)
        if self.error:
            raise self.error
        return super().encode(text)


@pytest.fixture
def spy() -> SpyTokenizer:
    return SpyTokenizer()


@pytest.fixture
def one_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def until_begun(spy: SpyTokenizer) -> None:
    assert await asyncio.to_thread(spy.begun.wait, 20)


async def test_equal_texts_are_tokenized_once(spy: SpyTokenizer) -> None:
    texts = CallTexts(spy, NoThreads(), no_cache())
    first, second, third = await texts.encode("the", "a", "the")
    assert spy.given == ["the", "a"]
    assert first is third
    assert [len(first), len(second)] == [1, 1]
    assert await texts.encode("a", "the") == [second, first]
    assert spy.given == ["the", "a"]


async def test_other_calls_texts_are_not_shared(spy: SpyTokenizer) -> None:
    for _ in range(2):
        with CallTexts(spy, NoThreads(), no_cache()) as texts:
            await texts.encode(SHORT)
    assert spy.given == [SHORT] * 2


@pytest.mark.parametrize("more", [0, 1])
async def test_texts_that_are_long_together_go_to_a_thread(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor, more: int
) -> None:
    halves = "a" * (LONG_TEXT // 2), "b" * (LONG_TEXT // 2 + more)
    with CallTexts(spy, one_thread, no_cache()) as texts:
        found = await texts.encode(*halves, halves[0])
    assert spy.given == list(halves)
    assert [tokens.ends[-1] for tokens in found] == [len(halves[n]) for n in (0, 1, 0)]
    assert (spy.threads == {threading.main_thread()}) is (more == 0)


async def test_a_long_text_that_several_wait_for_is_tokenized_once(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    spy.gate.clear()
    with CallTexts(spy, one_thread, no_cache()) as texts:
        waiters = [asyncio.create_task(texts.encode(SHORT, LONG)) for _ in range(3)]
        await until_begun(spy)
        spy.gate.set()
        found = await asyncio.gather(*waiters)
        assert spy.given.count(LONG) == 1
        assert all(tokens is found[0][1] for _, tokens in found)
        assert await texts.encode(LONG) == [found[0][1]]
    assert spy.given.count(LONG) == 1


async def test_one_that_gives_up_does_not_take_the_text_from_the_others(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    spy.gate.clear()
    with CallTexts(spy, one_thread, no_cache()) as texts:
        # The second text has not begun when its first waiter goes.
        impatient = asyncio.create_task(texts.encode(LONG, OTHER_LONG))
        patient = asyncio.create_task(texts.encode(LONG, OTHER_LONG))
        await until_begun(spy)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert not patient.done()
        spy.gate.set()
        first, second = await patient
    assert (len(first.ids), len(second.ids)) == (LONG.count(" "), OTHER_LONG.count(" ") + 1)
    assert spy.given == [LONG, OTHER_LONG]


async def test_what_waits_for_a_thread_is_dropped_at_the_end(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    spy.gate.clear()
    with CallTexts(spy, one_thread, no_cache()) as texts:
        call = asyncio.create_task(texts.encode(LONG, OTHER_LONG))
        await until_begun(spy)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.sleep(0)  # the loop tells the thread's queue in its next turn
    spy.gate.set()
    await asyncio.to_thread(one_thread.shutdown)  # all work that is left has been done
    assert spy.given == [LONG]


async def test_what_fails_fails_for_every_waiter(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    spy.error = RuntimeError("broken")
    spy.gate.clear()
    with CallTexts(spy, one_thread, no_cache()) as texts:
        waiters = [asyncio.create_task(texts.encode(LONG)) for _ in range(2)]
        await until_begun(spy)
        spy.gate.set()
        for waiter in waiters:
            with pytest.raises(RuntimeError, match="broken"):
                await waiter


async def test_questions_of_one_call_share_their_texts(spy: SpyTokenizer) -> None:
    model = PlayedModel()
    defaults = ModelDefaults(384, 128, has_no_answer=False)
    answerer = Answerer(spy, defaults, make_limits(), model, NoThreads(), no_cache())
    with answerer.texts() as texts:
        questions = [Question(f"who {n} ?", (SHORT,), Options()) for n in range(4)]
        await asyncio.gather(*(answerer.answer(question, texts) for question in questions))
        with pytest.raises(InvalidRequestError):
            await answerer.answer(Question("", (SHORT,), Options()), texts)
    assert sorted(spy.given) == sorted([SHORT, *(f"who {n} ?" for n in range(4))])
    assert len(model.asked) == 4
