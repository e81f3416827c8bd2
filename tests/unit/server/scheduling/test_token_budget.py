"""The token budget: who goes when, and that nothing stays behind."""

import asyncio
import contextlib
import random

import pytest

from spanqa_server.errors import DeadlineError, OverloadedError
from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.in_flight import FEWEST_TOKENS
from unit.server.scheduling.crowd import LATER, Crowd, settle


async def test_work_waits_until_there_is_room() -> None:
    crowd = Crowd(100)
    first, second, third = crowd.add(60), crowd.add(40), crowd.add(1)
    await settle()
    assert (first.admitted, second.admitted, third.admitted) == (True, True, False)
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (100, 1)
    await crowd.finish(second)
    assert third.admitted
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (61, 0)
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_the_earliest_deadline_goes_first_and_equals_keep_their_order() -> None:
    crowd = Crowd(10)
    crowd.add(10)
    await settle()
    for seconds in (60, 60, 20, 60, 10, 20):
        crowd.add(10, seconds=seconds)
        await settle()
    await crowd.drain()
    assert crowd.log == [0, 5, 3, 6, 1, 2, 4]


async def test_callers_take_turns() -> None:
    crowd = Crowd(10)
    for caller in "aaaab":
        crowd.add(10, caller=caller)
    await settle()
    await crowd.drain()
    assert crowd.log.index(4) <= 2


async def test_oversized_work_goes_alone() -> None:
    crowd = Crowd(10)
    small = crowd.add(4)
    await settle()
    huge = crowd.add(25)
    later = crowd.add(3)
    await settle()
    assert (huge.admitted, later.admitted) == (False, False)
    await crowd.finish(small)
    assert (huge.admitted, later.admitted) == (True, False)
    await crowd.finish(huge)
    assert later.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_an_error_gives_the_tokens_back() -> None:
    crowd = Crowd(10)
    broken, waiting = crowd.add(7), crowd.add(7)
    await settle()
    broken.error = RuntimeError("lost")
    await crowd.finish(broken)
    assert waiting.admitted
    with pytest.raises(RuntimeError, match="lost"):
        await broken.task
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_work_that_gives_up_leaves_its_place_to_others() -> None:
    crowd = Crowd(10)
    running = crowd.add(10)
    await settle()
    large, small = crowd.add(8, seconds=5), crowd.add(4)
    await settle()
    large.task.cancel()
    await settle()
    assert crowd.budget.waiting == 1
    await crowd.finish(running)
    assert small.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_work_that_is_cancelled_as_its_turn_comes_gives_it_back() -> None:
    crowd = Crowd(10)
    running, next_one, last = crowd.add(10), crowd.add(10), crowd.add(10)
    await settle()
    running.end.set()
    for _ in range(6):
        if crowd.budget.waiting == 1:  # its turn has come, and its task does not know yet
            break
        await asyncio.sleep(0)
    next_one.task.cancel()
    await settle()
    assert not next_one.admitted
    assert last.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_work_that_never_went_to_triton_does_not_count_as_done() -> None:
    crowd = Crowd(10)
    crowd.add(10)
    for _ in range(40):
        crowd.add(10, seconds=60.0)
    await settle()
    for _ in range(10):
        crowd.clock.now += 1.0
        running = crowd.running()[0]
        waiting = [work for work in crowd.works if not work.admitted and not work.task.done()]
        running.end.set()
        for _ in range(6):
            if crowd.budget.waiting < len(waiting):  # the turn of the first has come
                break
            await asyncio.sleep(0)
        waiting[0].task.cancel()
        await settle()
    assert crowd.budget.delay == pytest.approx(crowd.budget.waiting, rel=0.05)
    await crowd.drain()


async def test_work_that_would_come_too_late_is_not_sent() -> None:
    crowd = Crowd(10)
    slow = crowd.add(10)
    await settle()
    crowd.clock.now += 2.0
    await crowd.finish(slow)  # the quickest answer took 2 s
    blocking, late, patient = crowd.add(10), crowd.add(10, seconds=2.5), crowd.add(10)
    await settle()
    crowd.clock.now += 1.5
    await crowd.finish(blocking)
    with pytest.raises(DeadlineError, match=r"no answer within 2\.5 s"):
        await late.task
    assert not late.admitted
    assert patient.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_chunks_leave_room_for_whole_requests() -> None:
    crowd = Crowd(100, chunk_capacity=20)
    chunks = [crowd.add(20, chunk=True) for _ in range(5)]
    await settle()
    assert [chunk.admitted for chunk in chunks] == [True, False, False, False, False]
    for _ in range(10):
        crowd.add(20)
    await settle()
    running = crowd.running()
    assert sum(one.tokens for one in running) == 100
    assert sum(one.tokens for one in running if one.chunk) in (20, 40)
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_chunks_and_whole_requests_take_turns_by_tokens() -> None:
    crowd = Crowd(60, chunk_capacity=30)
    for _ in range(20):
        crowd.add(30, chunk=True)
        for _ in range(3):
            crowd.add(10)
    await settle()
    tokens = {False: 0, True: 0}
    while crowd.budget.waiting:
        first = crowd.running()[0]
        await crowd.finish(first)
        tokens[first.chunk] += first.tokens
        assert abs(tokens[True] - tokens[False]) <= 60
    await crowd.drain()


async def test_neither_kind_starves_where_one_piece_fills_the_budget() -> None:
    crowd = Crowd(10, chunk_capacity=10)
    for _ in range(10):
        crowd.add(10, chunk=True)
        crowd.add(5)
    await settle()
    seen = []
    while crowd.running():
        seen.append(crowd.running()[0].chunk)
        await crowd.finish(crowd.running()[0])
    assert seen[:9].count(True) in range(2, 6)


async def test_a_slow_triton_gets_less_at_a_time() -> None:
    crowd = Crowd(16_384)
    for _ in range(800):
        crowd.add(100)
    await settle()
    assert crowd.budget.in_flight <= FEWEST_TOKENS
    for _ in range(300):
        crowd.clock.now += 0.01  # 10,000 tokens a second
        await crowd.finish(crowd.running()[0])
    assert 4_000 <= crowd.budget.in_flight <= 6_000, "half a second of it"
    for _ in range(300):
        crowd.clock.now += 0.05  # 2,000 tokens a second
        await crowd.finish(crowd.running()[0])
    assert crowd.budget.in_flight <= 2_000
    await crowd.drain()


async def test_a_queue_that_stands_refuses_what_would_wait_too_long() -> None:
    crowd = Crowd(10)
    for _ in range(60):
        crowd.add(10, seconds=60.0)
    await settle()
    for _ in range(10):
        crowd.clock.now += 1.0
        await crowd.finish(crowd.running()[0])
    assert crowd.budget.delay == pytest.approx(50, rel=0.05)
    for seconds, chunk, is_refused in ((51, False, True), (51, True, False), (LATER, False, False)):
        call = Call("a", Deadline(crowd.clock.now + seconds, seconds))
        refused = pytest.raises(OverloadedError) if is_refused else contextlib.nullcontext()
        with refused:
            crowd.budget.check(10, call, long=chunk)
    await crowd.drain()


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_whatever_happens(seed: int) -> None:
    source = random.Random(seed)
    crowd = Crowd(50, chunk_capacity=20)
    for _ in range(200):
        action = source.random()
        if action < 0.5:
            chunk = source.random() < 0.3
            crowd.add(
                source.randint(1, 30),
                chunk=chunk,
                caller=source.choice("abc"),
                seconds=source.uniform(1, 50),
            )
        elif action < 0.75 and crowd.running():
            source.choice(crowd.running()).end.set()
        elif crowd.works:
            source.choice(crowd.works).task.cancel()
        crowd.clock.now += source.random() / 10
        if source.random() < 0.7:
            await settle()
    await settle()
    await crowd.drain()
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (0, 0)
    for work in crowd.works:
        assert work.task.done()
