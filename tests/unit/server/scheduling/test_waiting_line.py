"""Who goes next: callers by turns, and the earliest deadline of each."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.waiting_line import FEW, Waiter, WaitingLine
from unit.server.scheduling.clock import Clock


def call(caller: str = "a", deadline: float = 10.0) -> Call:
    return Call(caller, Deadline(deadline, deadline))


def give_up(line: WaitingLine, waiter: Waiter) -> None:
    waiter.turn.cancel()
    line.leave(waiter)


async def test_the_earliest_deadline_of_a_caller_goes_first() -> None:
    line = WaitingLine(Clock())
    for deadline in (30, 10, 20, 10):
        line.join(5, call(deadline=deadline))
    waiters = [line.go() for _ in range(4)]
    assert [waiter.deadline for waiter in waiters] == [10, 10, 20, 30]
    assert waiters[0].order < waiters[1].order
    assert not line
    assert line.first() is None


async def test_one_call_does_not_wait_behind_five_hundred_of_another() -> None:
    line = WaitingLine(Clock())
    for _ in range(500):
        line.join(170, call("many"))
    for _ in range(10):
        line.go()
    line.join(170, call("one", deadline=1000))
    assert "one" in [line.go().call.caller for _ in range(2)]


async def test_who_asks_again_at_once_does_not_overtake_who_waits() -> None:
    line = WaitingLine(Clock())
    for _ in range(50):
        line.join(170, call("many"))
    for name in "abc":
        line.join(170, call(name))
    went: Counter[str] = Counter()
    for _ in range(80):
        caller = line.go().call.caller
        went[caller] += 1
        if caller != "many":
            line.join(170, call(caller))
    assert max(went.values()) - min(went.values()) <= 1


@given(st.data())
def test_callers_that_wait_get_equal_shares(data: st.DataObject) -> None:
    sizes = st.lists(st.integers(1, 100), min_size=20, max_size=40)
    work = data.draw(st.dictionaries(st.sampled_from("abcd"), sizes, min_size=2))

    async def check() -> None:
        line = WaitingLine(Clock())
        left = {name: len(tokens) for name, tokens in work.items()}
        for name, tokens in work.items():
            for one in tokens:
                line.join(one, call(name))
        had: Counter[str] = Counter(dict.fromkeys(work, 0))
        while min(left.values()):
            went = line.go()
            had[went.call.caller] += went.tokens
            left[went.call.caller] -= 1
            # The bound of start-time fair queueing: the largest piece of each of the two.
            assert max(had.values()) - min(had.values()) <= 200

    asyncio.run(check())


@given(st.integers(0, 2**32))
def test_everything_goes_once_or_has_given_up(seed: int) -> None:
    source = random.Random(seed)

    async def check() -> None:
        line = WaitingLine(Clock())
        waiting: set[int] = set()
        waiters: dict[int, Waiter] = {}
        for _ in range(300):
            action = source.random()
            if action < 0.5:
                one = line.join(source.randint(1, 9), call(source.choice("abc"), source.random()))
                waiters[id(one)] = one
                waiting.add(id(one))
            elif line and action < 0.8:
                waiting.remove(id(line.go()))
            elif waiting:
                chosen = source.choice(sorted(waiting))
                waiting.remove(chosen)
                give_up(line, waiters[chosen])
            assert line.tokens == sum(waiters[one].tokens for one in waiting)
            assert {id(one) for one in line} == waiting
        while line:
            waiting.remove(id(line.go()))
        assert not waiting

    asyncio.run(check())


async def test_what_goes_before_is_ones_own_and_a_share_of_the_others() -> None:
    clock = Clock()
    line = WaitingLine(clock)
    assert line.wait(20, call("new")) is None, "nothing is known"
    for _ in range(20):
        line.join(100, call("many", deadline=50))
    for _ in range(10):
        clock.now += 0.5  # 200 tokens a second
        line.pace.went(line.go().tokens)
    line.join(30, call("few"))
    assert line.wait(20, call("new")) == pytest.approx((20 + 20) / 200)
    assert line.wait(20, call("few", deadline=9)) == pytest.approx(20 / 200)
    assert line.wait(20, call("few", deadline=11)) == pytest.approx((30 + 50) / 200)
    assert line.wait(20, call("many", deadline=50)) == pytest.approx((1000 + 30) / 200)


async def test_a_caller_who_gets_little_beside_others_waits_at_its_own_pace() -> None:
    clock = Clock()
    line = WaitingLine(clock)
    for _ in range(10):
        line.join(100, call("one"))
    for number in range(40):  # four others, who come again and again
        line.join(100, call(f"other {number % 4}"))
        if number >= 3:
            clock.now += 0.5
            line.pace.went(line.go().tokens)
    waiting = next(one.tokens for name, one in line._callers.items() if name == "one")
    wait = line.wait(100, call("one"))
    assert wait is not None
    assert wait > 3 * waiting / 200, "a fifth of 200 tokens a second, not all of them"


async def test_those_that_gave_up_do_not_pile_up() -> None:
    line = WaitingLine(Clock())
    line.join(1, call("stays"))
    for number in range(5000):
        give_up(line, line.join(1, call("stays", deadline=20)))
        give_up(line, line.join(1, call(f"caller {number}")))
    assert line.tokens == 1
    callers = line._callers  # there is no other way to see what is kept
    assert len(callers["stays"].waiters) <= 2 * FEW
    assert len(callers) <= 2 * FEW
    assert len(line._due) <= 2 * FEW
