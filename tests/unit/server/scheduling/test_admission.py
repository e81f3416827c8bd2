"""Who is let in, who is refused, and that room comes back."""

import asyncio
import math
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa_server.errors import OverloadedError
from spanqa_server.scheduling.admission import (
    LONGEST_WAIT,
    SAFE_SHARE,
    SHORTEST_WAIT,
    Admission,
    estimate_tokens,
)

LATER = 60.0


def admission(
    throughput: float = math.inf, in_flight: int = 1000, max_wait: float = LATER
) -> Admission:
    return Admission(
        1000,
        10_000,
        long_from=500,
        in_flight=in_flight,
        max_wait=max_wait,
        throughput=lambda: throughput,
    )


def test_calls_are_taken_while_there_is_room() -> None:
    made = admission()
    with ExitStack() as calls:
        for _ in range(5):
            calls.enter_context(made.admit(200, LATER))
        with pytest.raises(OverloadedError, match="too many short requests"):
            calls.enter_context(made.admit(1, LATER))
    for _ in range(3):  # room comes back
        with made.admit(500, LATER):
            pass


def test_a_call_that_fails_leaves_its_room() -> None:
    made = admission()
    for _ in range(3):
        with pytest.raises(KeyError), made.admit(500, LATER):
            raise KeyError
    with made.admit(500, LATER), made.admit(500, LATER):
        pass


def test_long_calls_have_room_of_their_own() -> None:
    made = admission()
    with made.admit(6000, LATER), made.admit(500, LATER), made.admit(500, LATER):
        with (
            pytest.raises(OverloadedError, match="too many long requests"),
            made.admit(6000, LATER),
        ):
            pass
        with made.admit(4000, LATER):
            pass


def test_what_is_larger_than_all_room_goes_alone() -> None:
    made = admission()
    with made.admit(50_000, LATER), pytest.raises(OverloadedError), made.admit(501, LATER):
        pass
    with made.admit(501, LATER), pytest.raises(OverloadedError), made.admit(50_000, LATER):
        pass


def test_what_would_be_too_late_is_refused_at_once() -> None:
    made = admission(throughput=100.0)
    with made.admit(400, LATER):
        with pytest.raises(OverloadedError, match="deadline") as refused, made.admit(100, 5.0):
            pass
        assert refused.value.retry_seconds == pytest.approx(5.0 - SAFE_SHARE * 5.0)
        with made.admit(100, 5.1 / SAFE_SHARE):
            pass


def test_a_short_call_does_not_wait_for_long_ones() -> None:
    made = admission(throughput=100.0)
    with made.admit(5000, LATER):
        with made.admit(100, 3.0):
            pass
        with pytest.raises(OverloadedError), made.admit(600, 3.0):
            pass


def test_short_calls_find_so_much_work_before_them_at_most() -> None:
    made = admission(throughput=300.0, in_flight=100, max_wait=2.0)
    with ExitStack() as calls:
        for _ in range(3):
            calls.enter_context(made.admit(200, LATER))
        with pytest.raises(OverloadedError, match="too many short requests") as refused:
            calls.enter_context(made.admit(300, LATER))
        assert refused.value.retry_seconds == pytest.approx(1.0)
        calls.enter_context(made.admit(900, LATER))  # a long one


def test_what_triton_can_have_at_once_is_not_too_much() -> None:
    made = admission(throughput=1.0, in_flight=800, max_wait=2.0)
    with ExitStack() as calls:
        for _ in range(4):
            calls.enter_context(made.admit(200, 9000.0))
        with pytest.raises(OverloadedError, match="too many short requests"):
            calls.enter_context(made.admit(200, 9000.0))


def test_an_idle_server_takes_what_has_little_time() -> None:
    with admission(throughput=1.0).admit(500, 0.1):
        pass


@pytest.mark.parametrize(
    ("throughput", "seconds"),
    [(1000.0, 0.2), (math.inf, SHORTEST_WAIT), (1e9, SHORTEST_WAIT), (0.01, LONGEST_WAIT)],
)
def test_when_to_come_again(throughput: float, seconds: float) -> None:
    made = admission(throughput, max_wait=math.inf)
    with (
        made.admit(500, math.inf),
        made.admit(500, math.inf),
        pytest.raises(OverloadedError) as refused,
        made.admit(200, math.inf),
    ):
        pass
    assert refused.value.retry_seconds == pytest.approx(seconds)
    assert f"try again in {seconds:.1f} s" in str(refused.value)


async def test_pairs_wait_in_order() -> None:
    made = admission()
    began: list[int] = []
    ends = [asyncio.Event() for _ in range(4)]

    async def pair(number: int, tokens: int) -> None:
        async with made.admit_pair(tokens):
            began.append(number)
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number, tokens in enumerate((600, 300, 900, 50)):
            group.create_task(pair(number, tokens))
        await settled()
        assert began == [0, 1]  # the small one does not pass the large one
        with made.admit(1000, LATER):  # nor do pairs take the room of calls
            pass
        ends[0].set()
        ends[1].set()
        await settled()
        assert began == [0, 1, 2, 3]
        ends[2].set()
        ends[3].set()
    assert made._pairs.taken == 0


async def test_a_pair_that_gives_up_lets_others_pass() -> None:
    made = admission()
    async with made.admit_pair(600):
        large = asyncio.create_task(hold(made, 900))
        small = asyncio.create_task(hold(made, 50))
        await settled()
        assert not small.done()
        large.cancel()
        await asyncio.wait_for(small, 20)
    with pytest.raises(asyncio.CancelledError):
        await large
    assert made._pairs.taken == 0


async def test_a_pair_cancelled_as_its_turn_comes_leaves_its_room() -> None:
    made = admission()
    async with made.admit_pair(600):
        late = asyncio.create_task(hold(made, 900))
        await settled()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert made._pairs.taken == 0


async def hold(made: Admission, tokens: int) -> None:
    async with made.admit_pair(tokens):
        pass


async def settled() -> None:
    """All that can run without news has run."""
    for _ in range(20):
        await asyncio.sleep(0)


@given(
    st.lists(
        st.sampled_from(
            ["the old lighthouse keeper, who lived there. ", "北海道の灯台守", "où était "]
        ),
        min_size=1,
        max_size=30,
    )
)
def test_estimates_are_of_the_right_size(texts: list[str]) -> None:
    text = "".join(texts)
    assert len(text) / 5 <= estimate_tokens(text) <= 1.2 * len(text) + 1
    assert estimate_tokens(text, text) == pytest.approx(2 * estimate_tokens(text), abs=2)


def test_an_estimate_of_chinese_and_english() -> None:
    assert estimate_tokens("灯" * 800) == pytest.approx(800, rel=0.01)
    assert estimate_tokens("word " * 160) == pytest.approx(200, rel=0.01)
    assert estimate_tokens("") == 1
