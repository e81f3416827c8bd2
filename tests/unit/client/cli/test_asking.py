"""Asking many rows: order, bounds, and patience with a server that refuses or is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import grpc
import pytest

from spanqa import (
    AnswerResult,
    AsyncClient,
    CallCancelledError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    Options,
    ResourceExhaustedError,
    SpanQAError,
    Timing,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    Usage,
)
from spanqa._bulk.rows import Row
from spanqa._repeating import OVERLOADED
from spanqa.cli.asking import Outcome, PatientClient, StoppedError, ask_rows

RESULT = AnswerResult((), False, 0.0, "1", Usage(0, 0, 0), Timing(0, 0, 0, 0, 0))
REFUSED = ResourceExhaustedError("busy", reason=OVERLOADED, retry_delay=0.001)
TOO_LARGE = ResourceExhaustedError("too large")
LATE = SpanQAError("late", code=grpc.StatusCode.DEADLINE_EXCEEDED)


def row(number: int, problem: str = "") -> Row:
    return Row(number, {"id": number}, "Who?", f"Ada{number}", problem)


class Server:
    """Does to each call what the test says: an error to raise, or None for an answer."""

    def __init__(self, outcome: Callable[[str], Exception | None]) -> None:
        self.outcome = outcome
        self.calls: list[str] = []

    async def answer(self, question: str, context: str, **options: object) -> AnswerResult:
        self.calls.append(context)
        # Later rows are ready first.
        for _ in range(20 - len(self.calls) % 20):
            await asyncio.sleep(0)
        if (error := self.outcome(context)) is not None:
            raise error
        return RESULT


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanqa.cli.asking._FIRST_PAUSE_SECONDS", 0.001)


def patient(server: Server, patience: float = 60.0) -> PatientClient:
    return PatientClient(cast(AsyncClient, server), Options(), patience)


def outcome_of(*errors: Exception | None, patience: float = 60.0) -> tuple[Outcome, Server]:
    """What becomes of a row whose calls end like this, and the last of them ever again."""
    left = list(errors)
    server = Server(lambda _: left.pop(0) if len(left) > 1 else left[0])
    return asyncio.run(patient(server, patience).ask(row(1))), server


@pytest.mark.parametrize(
    "errors",
    [
        [REFUSED] * 50,
        [UnavailableError("gone")] * 8,
        [CallCancelledError("shutting down")] * 3,
        [InternalError("x"), LATE],
        [LATE, UnavailableError("gone"), REFUSED, InternalError("x")],
    ],
    ids=["refused", "away", "shutting down", "bad moments", "all"],
)
def test_what_passes_is_waited_for(errors: list[Exception]) -> None:
    outcome, server = outcome_of(*errors, None)
    assert outcome == RESULT
    assert len(server.calls) == len(errors) + 1


@pytest.mark.parametrize(
    ("error", "calls"), [(InternalError("x"), 3), (LATE, 3), (TOO_LARGE, 1)], ids=repr
)
def test_what_stays_is_the_rows_error(error: SpanQAError, calls: int) -> None:
    outcome, server = outcome_of(error)
    assert outcome is error
    assert len(server.calls) == calls


def test_what_cannot_be_sent_is_the_rows_error() -> None:
    outcome, _ = outcome_of(ValueError("context holds a lone surrogate"))
    assert isinstance(outcome, InvalidArgumentError)
    assert outcome.message == "context holds a lone surrogate"
    server = Server(lambda _: None)
    outcome = asyncio.run(patient(server).ask(row(1, "line 2 is not JSON")))
    assert isinstance(outcome, InvalidArgumentError)
    assert server.calls == []


@pytest.mark.parametrize(
    "error",
    [
        UnauthenticatedError("who?"),
        UnimplementedError("what?"),
        InvalidArgumentError("x", field_violations=[FieldViolation("options.top_k", "is 99")]),
    ],
    ids=repr,
)
def test_what_every_row_would_meet_stops_the_run(error: SpanQAError) -> None:
    with pytest.raises(StoppedError) as raised:
        outcome_of(error)
    assert raised.value.error is error


def test_a_server_that_stays_away_stops_the_run() -> None:
    with pytest.raises(StoppedError, match="gone"):
        outcome_of(UnavailableError("gone"), patience=0.01)


def run(
    server: Server, rows: Iterator[Row], is_ordered: bool, concurrency: int = 4
) -> list[tuple[int, Outcome]]:
    written: list[tuple[int, Outcome]] = []

    def render(row: Row, outcome: Outcome) -> tuple[int, Outcome]:
        return row.number, outcome

    asyncio.run(
        ask_rows(
            patient(server),
            rows,
            render,
            written.append,
            concurrency=concurrency,
            is_ordered=is_ordered,
        )
    )
    return written


class Fours(Server):
    """Answers calls in groups of four that are under way at once, the last of a group first."""

    def __init__(self, outcome: Callable[[str], Exception | None]) -> None:
        super().__init__(outcome)
        self.group: list[asyncio.Event] = []

    async def answer(self, question: str, context: str, **options: object) -> AnswerResult:
        group, turn = self.group, asyncio.Event()
        group.append(turn)
        if len(group) == 4:
            self.group = []
            group.pop().set()
        await turn.wait()
        try:
            return await super().answer(question, context)
        finally:
            if group:
                group.pop().set()


@pytest.mark.parametrize("is_ordered", [True, False])
def test_each_row_is_asked_and_written_once(is_ordered: bool) -> None:
    server = Fours(lambda context: TOO_LARGE if context == "Ada7" else None)
    written = run(server, map(row, range(100)), is_ordered)
    numbers = [number for number, _ in written]
    assert sorted(numbers) == list(range(100))
    assert (numbers == list(range(100))) is is_ordered
    assert [number for number, outcome in written if outcome is TOO_LARGE] == [7]
    assert len(server.calls) == 100


class SlowFirst(Server):
    """Never answers the first row."""

    async def answer(self, question: str, context: str, **options: object) -> AnswerResult:
        if context == "Ada0":
            await asyncio.Event().wait()
        return await super().answer(question, context)


@pytest.mark.parametrize(("is_ordered", "expected"), [(True, 32), (False, 100)])
def test_a_row_that_takes_long_bounds_what_is_taken(is_ordered: bool, expected: int) -> None:
    taken = 0

    async def watch() -> None:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()

        def endless() -> Iterator[Row]:
            nonlocal taken
            for number in count():
                taken += 1
                if taken == expected:
                    loop.call_soon_threadsafe(reached.set)
                yield row(number)

        asking = asyncio.create_task(
            ask_rows(
                patient(SlowFirst(lambda _: None)),
                endless(),
                lambda row, outcome: row.number,
                lambda number: None,
                concurrency=4,
                is_ordered=is_ordered,
            )
        )
        async with asyncio.timeout(20):
            await reached.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(watch())
    assert taken == expected if is_ordered else taken >= expected


@pytest.mark.parametrize("where", ["rows", "render", "write", "ask"])
def test_a_failure_anywhere_ends_the_run(where: str) -> None:
    def fail_at_five(number: int, at: str) -> None:
        if number == 5 and where == at:
            raise OSError(f"no space in {at}")

    def rows() -> Iterator[Row]:
        for number in range(1000):
            fail_at_five(number, "rows")
            yield row(number)

    def render(row: Row, outcome: Outcome) -> int:
        fail_at_five(row.number, "render")
        return row.number

    written: list[int] = []

    def write(number: int) -> None:
        fail_at_five(number, "write")
        written.append(number)

    server = Server(lambda context: UnauthenticatedError("ask") if where == "ask" else None)
    running: Any = ask_rows(patient(server), rows(), render, write, concurrency=4, is_ordered=True)
    with pytest.raises((OSError, StoppedError), match=where):
        asyncio.run(running)
    assert written == list(range(len(written)))
    assert len(written) <= 5
