"""Progress of long work on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_EVERY = 1000


@contextmanager
def counting(things: str, total: int | None, done: int = 0) -> Iterator[Callable[[], None]]:
    """Shows how much is done, how fast, and how long the rest takes.

    Args:
        things: What is counted, as lines outside a terminal name it.
        total: How many there are; None if that is not known.
        done: How many of them were done before.

    Returns:
        A function to call after each.
    """
    console = Console(stderr=True)
    every = _LINE_EVERY if total is None else max(1, total // 10)
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(things, total=total, completed=done)

        def on_done() -> None:
            progress.advance(task)
            count = int(progress.tasks[task].completed)
            if progress.disable and count % every == 0:
                of = "" if total is None else f" of {total}"
                console.print(f"{count}{of} {things}")

        yield on_done


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("-/s" if task.speed is None else f"{task.speed:.1f}/s")
