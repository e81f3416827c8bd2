"""What a run shows of its progress."""

import io

import pytest
from rich.console import Console

from spanqa_model.finetune import progress
from spanqa_model.finetune.progress import Reporter


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "monotonic", fake)
    return fake


def test_lines_come_every_ten_seconds_where_there_is_no_terminal(clock: Clock) -> None:
    shown = io.StringIO()
    with Reporter(Console(file=shown)).phase("training", "examples") as phase:
        phase.begin(total=100, already=20)
        clock.now += 9.9
        phase.update(40)
        assert shown.getvalue() == ""
        clock.now += 0.1
        phase.update(60, "loss 1.500")
        assert shown.getvalue() == ("training: 60/100 examples, 4.0/s, 0:00:10 left, loss 1.500\n")
        clock.now += 10
        phase.update(100)
    assert shown.getvalue().splitlines()[1:] == [
        "training: 100/100 examples, 4.0/s, 0:00:00 left, loss 1.500",
        "training: 80 examples in 20.0 s, 4.0/s",
    ]


def test_a_phase_without_progress_yet_has_no_time_left(clock: Clock) -> None:
    with Reporter(Console(file=io.StringIO())).phase("cutting", "questions", 7) as phase:
        clock.now += 1
        assert phase.line == "cutting: 0/7 questions, 0.0/s, - left"


def test_a_terminal_gets_a_bar() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with Reporter(console).phase("training", "examples", 50) as phase:
        phase.update(25, "loss 0.750")
    assert "25/50" in shown.getvalue()
    assert "loss 0.750" in shown.getvalue()


def test_a_quiet_reporter_shows_nothing() -> None:
    shown = io.StringIO()
    for terminal in (False, True):
        reporter = Reporter(Console(file=shown, force_terminal=terminal), quiet=True)
        with reporter.phase("training", "examples", 50) as phase:
            phase.update(50)
        reporter.say("done")
    assert shown.getvalue() == ""
