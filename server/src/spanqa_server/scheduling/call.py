"""The call that work is done for: who asked, and until when an answer is of use."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from spanqa_server.scheduling.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Call:
    """A call, or a pair of a batch or stream.

    `caller` is the connection that it came over, or who called where that is known; callers share
    what Triton does. `may_wait` says that it is not refused: a pair, whose batch or stream was
    taken.
    """

    caller: str
    deadline: Deadline
    may_wait: bool = False


NOBODY = Call("", Deadline.never())
_current: ContextVar[Call] = ContextVar("call", default=NOBODY)


def current_call() -> Call:
    """The call that the running task works for."""
    return _current.get()


@contextmanager
def working_for(call: Call) -> Iterator[None]:
    """What the block does, and the tasks that it starts, is done for this call."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)
