"""When a call is counted. The rest of the interceptor is tested through the servicer."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from spanqa_server.errors import DeadlineError
from spanqa_server.grpc_api.interceptors import outcome
from unit.server.grpc_api.counters import Counters


class AbortedError(Exception):
    """What the context raises in place of gRPC's own error."""


def context_that_notes(seen: list[dict[tuple[str, str], int]], counters: Counters) -> Any:
    """A call's context that notes what was counted when its caller hears of the error."""

    async def abort(*status: object) -> None:
        seen.append(counters.calls)
        raise AbortedError

    return cast(Any, SimpleNamespace(abort=abort))


@pytest.mark.parametrize(
    ("error", "code"), [(DeadlineError("late"), "DEADLINE_EXCEEDED"), (KeyError("odd"), "INTERNAL")]
)
async def test_an_error_is_counted_before_the_caller_hears_of_it(
    error: Exception, code: str
) -> None:
    counters, seen = Counters(), list[dict[tuple[str, str], int]]()
    with pytest.raises(AbortedError):
        async with outcome("A", context_that_notes(seen, counters)):
            raise error
    assert seen == [{("A", code): 1}]
    assert counters.calls == seen[0]


async def test_calls_that_end_without_an_error_status() -> None:
    counters = Counters()
    context = context_that_notes([], counters)
    async with outcome("A", context):
        assert counters.calls == {}
    with pytest.raises(asyncio.CancelledError):
        async with outcome("A", context):
            raise asyncio.CancelledError
    assert counters.calls == {("A", grpc.StatusCode.OK.name): 1, ("A", "CANCELLED"): 1}


async def test_at_debug_the_end_of_a_call_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    context = context_that_notes([], Counters())
    async with outcome("A", context):
        pass
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "spanqa_server")
    with pytest.raises(AbortedError):
        async with outcome("A", context):
            raise DeadlineError("late")
    [line] = caplog.records
    fields = vars(line)
    assert (fields["method"], fields["code"]) == ("A", "DEADLINE_EXCEEDED")
    assert 0 <= fields["milliseconds"] < 1000
    assert line.getMessage().startswith("A DEADLINE_EXCEEDED ")
