"""`make bench-check` names the stages that got slower, and no others; measurements are injected."""

import json
from itertools import cycle
from pathlib import Path

import pytest

from benchmarks.frontend import check

SECONDS = {"tokenize": 3e-4, "decode": 5e-5, "rank 100 windows": 3e-3}


def run(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], *flags: str) -> int:
    """A run on a machine whose clock rate changes from turn to turn, stages and loop alike."""
    rates = cycle((1.0, 1.0, 1.3, 1.3, 0.8))
    machine = {"rate": 1.0}

    def stages(_: object) -> dict[str, float]:
        return {name: taken * machine["rate"] for name, taken in seconds.items()}

    def loop() -> float:
        machine["rate"] = next(rates)
        return 0.01 * machine["rate"]

    monkeypatch.setattr(check, "squad_mix", lambda data, count: [])
    monkeypatch.setattr(check, "run_once", stages)
    monkeypatch.setattr(check, "calibrate", loop)
    return check.main(["--repeats", "9", *flags])


def test_a_stage_with_twice_the_work_is_named_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    flags = ("--baseline", str(tmp_path / "baseline.json"))
    assert run(monkeypatch, SECONDS, "--update", *flags) == 0
    assert run(monkeypatch, SECONDS, *flags) == 0
    assert "no stage costs more" in capsys.readouterr().out
    slow = SECONDS | {"decode": 2 * SECONDS["decode"]}
    assert run(monkeypatch, slow, *flags) == 1
    said = capsys.readouterr().out
    assert "decode: 2.00 times the baseline" in said
    assert "tokenize:" not in said
    assert "rank 100 windows:" not in said


def test_a_machine_of_another_speed_changes_nothing() -> None:
    costs = check.measure(lambda: SECONDS, lambda: 0.01, 5)
    slower = {name: 3 * taken for name, taken in SECONDS.items()}
    assert check.measure(lambda: slower, lambda: 0.03, 5) == pytest.approx(costs)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"decode": 0}', "'decode' must be a positive number"),
        (json.dumps(SECONDS | {"gone": 1.0}), r"other stages \(gone\)"),
    ],
)
def test_an_unusable_baseline_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str | None,
    complaint: str,
) -> None:
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit, match=complaint) as raised:
        run(monkeypatch, SECONDS, "--baseline", str(file))
    assert "--update" in str(raised.value)
