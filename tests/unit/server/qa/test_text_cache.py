"""Tokens of texts that came lately: kept within bounds, the same as if made anew."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spanqa_server.qa.text_cache import SHORTEST_TEXT, TextCache
from spanqa_server.qa.tokenizer import LONG_TEXT, CallTexts, TokenizedText
from unit.server.qa.test_call_texts import SpyTokenizer

LENGTH = SHORTEST_TEXT


@dataclass(frozen=True)
class Value:
    name: str
    nbytes: int = 200


def text(name: str) -> str:
    return name.ljust(LENGTH)


def make_cache(capacity: int) -> tuple[TextCache[Value], list[bool]]:
    lookups: list[bool] = []
    return TextCache(capacity, lookups.append), lookups


def test_what_was_put_is_found_and_told() -> None:
    cache, lookups = make_cache(10_000)
    assert cache.get(text("a")) is None
    cache.put(text("a"), Value("a"))
    assert cache.get(text("a")) == Value("a")
    assert cache.get(text("b")) is None
    assert lookups == [False, True, False]


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache, _ = make_cache(3 * (4 * LENGTH + 200))
    for name in "abc":
        cache.put(text(name), Value(name))
    assert cache.get(text("a"))
    cache.put(text("d"), Value("d"))
    assert [name for name in "abcd" if cache.get(text(name))] == ["a", "c", "d"]


def test_short_texts_and_those_beyond_the_capacity_are_not_kept() -> None:
    cache, lookups = make_cache(4 * LENGTH + 200)
    for one, value in (("a" * (LENGTH - 1), Value("a")), (text("b"), Value("b", 201))):
        cache.put(one, value)
        assert cache.get(one) is None
    assert cache.used == 0
    assert lookups == [False], "a short text is not looked up"


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3000), st.booleans())),
    st.integers(0, 8000),
)
def test_it_never_holds_more_than_its_capacity(
    steps: list[tuple[str, int, bool]], capacity: int
) -> None:
    cache, _ = make_cache(capacity)
    known: dict[str, Value] = {}
    for name, size, put in steps:
        if put:
            kept = cache.get(text(name))
            known[name] = kept or Value(name, size)
            cache.put(text(name), Value(name, size))
        found = cache.get(text(name))
        assert found is None or found == known[name]
        held = [value for name in known if (value := cache.get(text(name)))]
        assert cache.used == sum(value.nbytes + 4 * LENGTH for value in held) <= capacity


async def test_a_later_call_gets_the_same_tokens_and_tokenizes_nothing() -> None:
    spy = SpyTokenizer()
    cache: TextCache[TokenizedText] = TextCache(64 << 20, lambda kept: None)
    texts = ["the keeper " * 50, "the light keeper " * (LONG_TEXT // 17 + 1), "Anna"]
    with ThreadPoolExecutor(1) as threads:
        rounds = []
        for _ in range(2):
            with CallTexts(spy, threads, cache) as call:
                rounds.append(await call.encode(*texts))
    assert spy.given == [*texts, "Anna"], "a short text is cheaper to tokenize than to keep"
    for first, second in zip(*rounds, strict=True):
        for name in ("ids", "starts", "ends"):
            assert np.array_equal(getattr(first, name), getattr(second, name))
