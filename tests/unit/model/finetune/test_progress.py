"""What a run shows of its progress."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from spanqa_model.finetune import progress
from spanqa_model.finetune.progress import Reporter


def test_lines_come_every_ten_seconds_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, clock = io.StringIO(), SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "monotonic", lambda: clock.now)
    with Reporter(Console(file=shown)).phase("training", "examples") as phase:
        phase.begin(total=100, already=20)
        clock.now += 10
        phase.update(20)
        clock.now += 9.9
        phase.update(40)
        clock.now += 0.1
        phase.update(60, "loss 1.500")
        clock.now += 20
        phase.update(100)
    assert shown.getvalue().splitlines() == [
        "training: 20/100 examples, 0.0/s, - left",
        "training: 60/100 examples, 2.0/s, 0:00:20 left, loss 1.500",
        "training: 100/100 examples, 2.0/s, 0:00:00 left, loss 1.500",
        "training: 80 examples in 40.0 s, 2.0/s",
    ]


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
