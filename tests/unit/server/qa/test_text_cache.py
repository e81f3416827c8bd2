"""Texts are tokenized once for all who ask, and what is kept stays within its bound."""

import asyncio
import gc
import random
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.qa.text_cache import SHORTEST_TEXT, TextCache
from spanqa_server.qa.tokenizer import LONG_TEXT, TextTokenizer, TokenizedText
from unit.server.qa.played import THREADS, NoThreads
from unit.server.vocabulary import make_tokenizer

PLENTY = 64 << 20
SHORT = "the keeper"
LONG = "the light keeper " * (LONG_TEXT // 17 + 1)
OTHER_LONG = LONG + "Anna"


class SpyTokenizer(TextTokenizer):
    """Says which texts it was given, and by which thread; waits for `gate` in other threads."""

    def __init__(self) -> None:
        super().__init__(make_tokenizer(lowercase=False))
        self.given: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.error: Exception | None = None

    def limit_words(self, capacity: int) -> None:
        super().limit_words(0)  # what a cache holds is texts

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


def text(name: str) -> str:
    """One that is looked up, and tokenized without a thread."""
    return f"{name} ".ljust(SHORTEST_TEXT, "-")


def begin(cache: TextCache, *texts: str) -> asyncio.Task[list[TokenizedText]]:
    return asyncio.create_task(cache.encode(*texts))


async def until_begun(spy: SpyTokenizer) -> None:
    assert await asyncio.to_thread(spy.begun.wait, 20)


async def cancel(call: asyncio.Task[list[TokenizedText]]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_later_calls_get_the_same_tokens(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    lookups: list[bool] = []
    cache = TextCache(spy, one_thread, PLENTY, lookups.append)
    spy.gate.set()
    texts = [text("the keeper"), LONG, SHORT]
    first, second = await cache.encode(*texts), await cache.encode(*texts)
    assert spy.given == [*texts, SHORT], "a short text is cheaper to tokenize than to look up"
    assert lookups == [False, False, True, True]
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, True, False]
    assert first[2].ids.tolist() == second[2].ids.tolist()


@pytest.mark.parametrize("capacity", [0, PLENTY])
async def test_calls_that_use_a_text_at_a_time_share_it(spy: SpyTokenizer, capacity: int) -> None:
    cache = TextCache(spy, NoThreads(), capacity)
    [tokens] = await cache.encode(text("a"))
    assert await cache.encode(text("a")) == [tokens]
    del tokens
    await cache.encode(text("a"))
    assert len(spy.given) == (1 if capacity else 2), "nobody used it any more"


@pytest.mark.parametrize("more", [0, 1])
async def test_texts_that_are_long_together_go_to_a_thread(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor, more: int
) -> None:
    spy.gate.set()
    halves = "a" * (LONG_TEXT // 2), "b" * (LONG_TEXT // 2 + more)
    found = await TextCache(spy, one_thread, PLENTY).encode(*halves, halves[0])
    assert spy.given == list(halves)
    assert [tokens.ends[-1] for tokens in found] == [len(halves[n]) for n in (0, 1, 0)]
    assert (spy.threads == {threading.main_thread()}) is (more == 0)


@pytest.mark.parametrize("capacity", [0, PLENTY])
async def test_a_long_text_that_several_calls_wait_for_is_tokenized_once(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor, capacity: int
) -> None:
    lookups: list[bool] = []
    cache = TextCache(spy, one_thread, capacity, lookups.append)
    calls = [begin(cache, SHORT, LONG), begin(cache, LONG, SHORT)]
    await until_begun(spy)
    calls.append(begin(cache, LONG, OTHER_LONG))
    await asyncio.sleep(0)
    spy.gate.set()
    found = await asyncio.gather(*calls)
    assert (spy.given.count(LONG), spy.given.count(OTHER_LONG)) == (1, 1)
    assert found[0][1] is found[1][0] is found[2][0]
    assert lookups == [False, True, True, False]


@pytest.mark.parametrize("impatient", [0, 1])
async def test_one_that_gives_up_does_not_take_the_text_from_the_others(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor, impatient: int
) -> None:
    cache = TextCache(spy, one_thread, PLENTY)
    # The second text has not begun when one of them goes.
    calls = [begin(cache, LONG, OTHER_LONG) for _ in range(2)]
    await until_begun(spy)
    await cancel(calls.pop(impatient))
    spy.gate.set()
    first, second = await calls[0]
    assert (len(first.ids), len(second.ids)) == (LONG.count(" "), OTHER_LONG.count(" ") + 1)
    assert spy.given == [LONG, OTHER_LONG]


async def test_what_waits_for_a_thread_and_nobody_waits_for_is_dropped(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    cache = TextCache(spy, one_thread, PLENTY)
    call = begin(cache, LONG, OTHER_LONG)
    await until_begun(spy)
    await cancel(call)
    # At once, before anybody has heard that the text was dropped.
    again = begin(cache, OTHER_LONG)
    await asyncio.sleep(0)
    await cancel(again)
    await asyncio.sleep(0)
    spy.gate.set()
    await cache.encode(text("a") * 200)
    assert spy.given == [LONG, text("a") * 200]
    await cache.encode(LONG)
    assert spy.given.count(LONG) == 1, "what had begun is kept"
    await cache.encode(OTHER_LONG)
    assert spy.given[-1] == OTHER_LONG


async def test_what_fails_fails_for_every_waiter_but_not_for_good(
    spy: SpyTokenizer, one_thread: ThreadPoolExecutor
) -> None:
    cache = TextCache(spy, one_thread, PLENTY)
    spy.error = RuntimeError("broken")
    waiters = [begin(cache, LONG) for _ in range(2)]
    await until_begun(spy)
    spy.gate.set()
    for waiter in waiters:
        with pytest.raises(RuntimeError, match="broken"):
            await waiter
    spy.error = None
    assert await cache.encode(LONG)


async def test_what_was_not_used_for_longest_goes_first(spy: SpyTokenizer) -> None:
    cache = TextCache(spy, NoThreads(), PLENTY)
    await cache.encode(*map(text, "abc"))
    cache = TextCache(spy, NoThreads(), capacity=cache.used)
    for name in "abcad":
        await cache.encode(text(name))
    await cache.encode("-" * 4 * SHORTEST_TEXT)  # larger than all: it takes no place from others
    spy.given.clear()
    await cache.encode(*map(text, "acdb"))
    assert spy.given == [text("b")]


TOKENIZER = TextTokenizer(make_tokenizer(lowercase=True))


@given(
    st.lists(st.tuples(st.text("abé😀", min_size=1, max_size=4), st.integers(1, 400)), max_size=40),
    st.integers(0, 40_000),
)
@settings(deadline=None, max_examples=50)
def test_it_never_keeps_more_than_its_capacity(steps: list[tuple[str, int]], capacity: int) -> None:
    cache = TextCache(TOKENIZER, THREADS, capacity)

    async def run() -> None:
        for word, times in steps:
            one = f"{word} keeper " * times
            [tokens] = await cache.encode(one)
            assert cache.used <= capacity
            expected = TOKENIZER.encode(one)
            for name in ("ids", "starts", "ends"):
                assert np.array_equal(getattr(tokens, name), getattr(expected, name))

    asyncio.run(run())


@pytest.mark.parametrize(
    "words", [(30, 20_000), (300, 20), (6000, 20)], ids=["words", "short texts", "long texts"]
)
@pytest.mark.parametrize("ending", ["", "é"])
def test_what_it_counts_is_what_it_holds(words: tuple[int, int], ending: str) -> None:
    length, known = words
    tokenizer = TextTokenizer(make_tokenizer(lowercase=True, more_words=20_000))
    dice = random.Random(5)

    async def fill(cache: TextCache) -> None:
        for _ in range(40_000 // length):
            numbers = (dice.randrange(known) for _ in range(length))
            await cache.encode(" ".join(f"w{number}" for number in numbers) + ending)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(int).result()
        cache = TextCache(tokenizer, threads, PLENTY)
        gc.collect()
        tracemalloc.start()
        asyncio.run(fill(cache))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 0.85 < held / cache.used < 1.02
