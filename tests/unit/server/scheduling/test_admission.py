"""Who is let in, who is refused, and that memory comes back."""

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from spanqa_server.errors import OverloadedError
from spanqa_server.scheduling.admission import (
    BYTES_OF_A_CALL,
    BYTES_OF_A_TOKEN,
    Admission,
    UnderestimatedError,
    check_estimate,
    memory_of,
    most_tokens,
)
from spanqa_server.scheduling.call import Call, current_call, working_for
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.token_budget import TokenBudget
from unit.server.scheduling.clock import Clock

LONG = 500
CALL = Call("a", Deadline(1000.0, 1000.0))


def memory(calls: int, tokens: int) -> int:
    return calls * BYTES_OF_A_CALL + tokens * BYTES_OF_A_TOKEN


def admission(calls: int = 5, tokens: int = 1000, clock: Clock | None = None) -> Admission:
    """With room for so many calls of so many tokens together, and a third of it for pairs."""
    budget = TokenBudget(100, clock=clock or Clock())
    return Admission(memory(calls, tokens) * 5 // 3 + 5, budget, long_from=LONG)


def test_calls_are_taken_while_there_is_memory() -> None:
    made = admission()
    with ExitStack() as calls:
        for _ in range(5):
            calls.enter_context(made.admit(CALL, 200))
        with pytest.raises(OverloadedError, match="too much accepted work is waiting"):
            calls.enter_context(made.admit(CALL, 1))
        with pytest.raises(OverloadedError):
            calls.enter_context(made.admit_batch(CALL, 1))
    for _ in range(3):  # room comes back
        with made.admit(CALL, 1000):
            pass


def test_a_call_that_fails_leaves_its_room() -> None:
    made = admission()
    for _ in range(3):
        with pytest.raises(KeyError), made.admit(CALL, 1000):
            raise KeyError
    with made.admit(CALL, 500), made.admit(CALL, 500):
        pass


def test_what_is_larger_than_all_room_goes_alone() -> None:
    made = admission()
    with made.admit(CALL, 50_000), pytest.raises(OverloadedError), made.admit(CALL, 1):
        pass
    with made.admit(CALL, 1), pytest.raises(OverloadedError), made.admit(CALL, 50_000):
        pass


def test_one_caller_does_not_take_all_room_from_the_others() -> None:
    made = admission(calls=500)
    with made.admit(CALL, 10**9):
        for name in "bcd":
            other = replace(CALL, caller=name)
            with made.admit(other, 100), pytest.raises(OverloadedError), made.admit(other, 1000):
                pass
        with pytest.raises(OverloadedError), made.admit(CALL, 1):
            pass
    assert made._calls.taken == 0
    assert not made._of_callers


def test_many_callers_do_not_take_more_than_there_is() -> None:
    made = admission(calls=500)
    with ExitStack() as calls:
        calls.enter_context(made.admit(CALL, 10**9))
        admitted = 0
        with suppress(OverloadedError):
            while admitted < 500:
                calls.enter_context(made.admit(replace(CALL, caller=str(admitted)), 1))
                admitted += 1
        assert 0 < admitted < 500
        assert made._calls.taken <= made._calls.capacity * 7 / 6


def test_an_estimate_may_be_a_little_off() -> None:
    check_estimate(1000, 1300)
    check_estimate(1, 400)
    with pytest.raises(UnderestimatedError) as raised:
        check_estimate(1000, 2000)
    assert raised.value.tokens == 2000


def test_the_largest_call_is_one_for_which_there_is_room() -> None:
    made = Admission(1 << 20, TokenBudget(100), long_from=LONG)
    assert memory(1, most_tokens(1 << 20)) == pytest.approx(made._calls.capacity, abs=80)
    assert most_tokens(1) == 0


def test_the_block_works_for_the_call() -> None:
    made = admission()
    with made.admit(CALL, 1):
        assert current_call() is CALL
    with made.admit_batch(CALL, 1):
        assert current_call() is CALL
    assert current_call() is not CALL


@pytest.mark.parametrize(
    ("waiting", "refused"), [("whole", (True, False)), ("chunk", (False, True))]
)
async def test_short_calls_do_not_wait_for_long_ones_nor_long_ones_for_short_ones(
    waiting: str, refused: tuple[bool, bool]
) -> None:
    clock = Clock()
    budget = TokenBudget(10, clock=clock)
    made = Admission(1 << 30, budget, long_from=LONG)

    soon = Call("", Deadline(clock.now + 6.0, 6.0))
    ends = [asyncio.Event() for _ in range(60)]

    async def work(end: asyncio.Event) -> None:
        with working_for(soon):
            async with budget.reserve(10, chunk=waiting == "chunk"):
                await end.wait()

    tasks = [asyncio.create_task(work(end)) for end in ends]
    for end in ends[:5]:
        await settled()
        clock.now += 1.0
        end.set()
    await settled()
    hurried = Call("", Deadline(clock.now + 4.0, 4.0))
    outcomes = []
    for tokens in (LONG // 2, 2 * LONG):
        try:
            with made.admit(hurried, tokens):
                outcomes.append(False)
        except OverloadedError:
            outcomes.append(True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tuple(outcomes) == refused


async def test_pairs_wait_in_order() -> None:
    made = admission()
    began: list[int] = []
    ends = [asyncio.Event() for _ in range(4)]

    async def pair(number: int, tokens: int) -> None:
        async with made.admit_pair(CALL, tokens):
            began.append(number)
            assert current_call() == replace(CALL, may_wait=True)
            await ends[number].wait()

    async with asyncio.TaskGroup() as group:
        for number, tokens in enumerate((200, 100, 2000, 1)):
            group.create_task(pair(number, tokens))
        await settled()
        assert began == [0]  # the small ones do not pass the large one
        with made.admit(CALL, 1000):  # nor do pairs take the room of calls
            pass
        for end in ends[:3]:
            end.set()
            await settled()
        assert began == [0, 1, 2, 3]
        ends[3].set()
    assert made._pairs.taken == 0


async def test_the_message_of_a_pair_of_a_stream_counts() -> None:
    made = admission()
    async with made.admit_pair(CALL, 10, 5000):
        assert made._pairs.taken == memory_of(10) + 5000


async def test_a_pair_that_gives_up_lets_others_pass() -> None:
    made = admission()
    async with made.admit_pair(CALL, 150):
        large = asyncio.create_task(hold(made, 2000))
        small = asyncio.create_task(hold(made, 1))
        await settled()
        assert not small.done()
        large.cancel()
        await asyncio.wait_for(small, 20)
    with pytest.raises(asyncio.CancelledError):
        await large
    assert made._pairs.taken == 0


async def test_a_pair_cancelled_as_its_turn_comes_leaves_its_room() -> None:
    made = admission()
    async with made.admit_pair(CALL, 200):
        late = asyncio.create_task(hold(made, 2000))
        await settled()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert made._pairs.taken == 0


async def hold(made: Admission, tokens: int) -> None:
    """Of another caller: one leaves some room."""
    async with made.admit_pair(replace(CALL, caller="b"), tokens):
        pass


async def settled() -> None:
    """All that can run without news has run."""
    for _ in range(20):
        await asyncio.sleep(0)
