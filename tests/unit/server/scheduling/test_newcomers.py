"""One piece of work beside many of another caller: it goes at once, with little before it."""

import random

import pytest

from spanqa_server.scheduling.in_flight import FEWEST_TOKENS
from spanqa_server.scheduling.newcomers import EXPECTED_SECONDS, Newcomers
from unit.server.scheduling.clock import Clock
from unit.server.scheduling.crowd import Crowd, Work, settle


async def crowded(
    *, chunk: bool = False, tokens: int = 100, prefers_newcomers: bool = True
) -> Crowd:
    """A caller with much to do has all that may be at Triton."""
    crowd = Crowd(16_384, prefers_newcomers=prefers_newcomers)
    for _ in range(200):
        crowd.add(tokens, caller="many", chunk=chunk)
    await settle()
    assert crowd.budget.in_flight > FEWEST_TOKENS - tokens
    return crowd


async def move_on(crowd: Crowd, pieces: int = 20) -> None:
    """Triton is done with some of it, one after the other."""
    for _ in range(pieces):
        crowd.clock.now += 0.01
        await crowd.finish(next(work for work in crowd.running() if work.call.caller == "many"))


def of_many(crowd: Crowd) -> list[Work]:
    return [work for work in crowd.running() if work.call.caller == "many"]


@pytest.mark.parametrize("chunk", [False, True])
async def test_one_goes_at_once_although_another_has_filled_triton(chunk: bool) -> None:
    crowd = await crowded(chunk=chunk)
    one = crowd.add(50, caller="one")
    await settle()
    assert one.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_from_then_on_others_have_little_there_at_a_time() -> None:
    crowd = await crowded()
    await crowd.finish(crowd.add(50, caller="one"))
    await move_on(crowd)
    assert len(of_many(crowd)) == 1
    assert (await another(crowd)).admitted
    crowd.clock.now += EXPECTED_SECONDS + 1
    await move_on(crowd)
    assert len(of_many(crowd)) > 2
    await crowd.drain()


async def another(crowd: Crowd) -> Work:
    one = crowd.add(50, caller="one")
    await settle()
    await crowd.finish(one)
    return one


async def test_what_others_send_goes_in_parts() -> None:
    crowd = await crowded(tokens=400, chunk=True)
    assert {work.at_a_time for work in of_many(crowd)} == {400}
    assert (await another(crowd)).at_a_time == 50
    await move_on(crowd, 5)
    assert all(work.at_a_time < 200 for work in of_many(crowd))
    await crowd.drain()


async def test_who_has_much_is_never_kept_out() -> None:
    crowd = await crowded()
    source = random.Random(1)
    done = 0
    for _ in range(300):
        if source.random() < 0.7:
            crowd.add(20, caller=f"one {source.randrange(40)}")
        crowd.clock.now += 0.005
        await settle()
        [first, *_] = crowd.running()
        done += first.call.caller == "many"
        await crowd.finish(first)
    assert done > 50
    await crowd.drain()
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (0, 0)


async def test_those_who_go_past_the_limit_are_few_at_a_time() -> None:
    crowd = await crowded()
    newcomers = [crowd.add(20, caller=f"one {number}") for number in range(100)]
    await settle()
    assert 1 <= sum(work.admitted for work in newcomers) <= 5
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_callers_with_as_much_as_each_other_do_not_hold_each_other_back() -> None:
    crowd = Crowd(16_384)
    for _ in range(20):
        for caller in "abcdefgh":
            crowd.add(100, caller=caller)
    await settle()
    await move_on_any(crowd, 60)
    assert crowd.budget.in_flight > FEWEST_TOKENS - 100
    await crowd.drain()


async def move_on_any(crowd: Crowd, pieces: int) -> None:
    for _ in range(pieces):
        crowd.clock.now += 0.05
        await crowd.finish(crowd.running()[0])


async def test_with_several_tritons_nobody_is_held_back() -> None:
    crowd = await crowded(prefers_newcomers=False)
    one = crowd.add(50, caller="one")
    await settle()
    assert not one.admitted
    await move_on(crowd)
    assert one.admitted
    assert len(of_many(crowd)) > 2
    await crowd.drain()


def test_nothing_is_kept_of_callers_who_are_gone() -> None:
    newcomers = Newcomers(Clock(), lambda: 100.0)
    for number in range(100):
        name = str(number)
        newcomers.begin(name, 10)
        newcomers.go(name, 10)
        newcomers.come_back(name, 10)
        newcomers.end(name, 10)
    assert not newcomers._pieces
    assert not newcomers._tokens
    assert not newcomers._at_triton
