"""Shows the progress of a run: a bar on a terminal, lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Phase:
    """A part of the run; `show` is called at each update."""

    def __init__(self, name: str, unit: str, show: Callable[["Phase"], None]) -> None:
        self.name, self.unit, self.note = name, unit, ""
        self._show = show
        self.begin(0)

    def begin(self, total: int, already: int = 0) -> None:
        """Start to count to `total`, of which `already` was done in an earlier run."""
        self.total = total
        self.completed = self._already = already
        self._begun = monotonic()

    def update(self, completed: int, note: str | None = None) -> None:
        """Set how much is done. `note`, if given, is shown beside it from now on."""
        self.completed = completed
        self.note = self.note if note is None else note
        self._show(self)

    @property
    def seconds(self) -> float:
        return monotonic() - self._begun

    @property
    def done(self) -> int:
        """Units since the phase began."""
        return self.completed - self._already

    @property
    def rate(self) -> float:
        """Units per second since the phase began."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def line(self) -> str:
        left = "-"
        if self.rate:
            left = str(timedelta(seconds=round((self.total - self.completed) / self.rate)))
        parts = (f"{self.completed}/{self.total} {self.unit}", f"{self.rate:.1f}/s", f"{left} left")
        return f"{self.name}: " + ", ".join(part for part in (*parts, self.note) if part)


class Reporter:
    """Shows phases one after another.

    Args:
        console: the output; a terminal gets a bar, anything else lines.
        quiet: show nothing; for all processes of a run but the first.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet

    @contextmanager
    def phase(self, name: str, unit: str, total: int = 0) -> Iterator[Phase]:
        """Show a phase until the block ends."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        hidden = self._quiet or not self._console.is_terminal
        line_at = monotonic()
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as bar:
            task = bar.add_task(name, total=None, rate=0.0, note="")

            def show(phase: Phase) -> None:
                nonlocal line_at
                bar.update(task, completed=phase.completed, total=phase.total)
                bar.update(task, rate=phase.rate, note=phase.note)
                if hidden and monotonic() - line_at >= SECONDS_BETWEEN_LINES:
                    line_at = monotonic()
                    self.say(phase.line)

            phase = Phase(name, unit, show)
            phase.begin(total)
            yield phase
        self.say(f"{name}: {phase.done} {unit} in {phase.seconds:.1f} s, {phase.rate:.1f}/s")

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
