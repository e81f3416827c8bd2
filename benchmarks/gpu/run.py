"""Everything that a GPU can say about SpanQA, in one command and under eight minutes.

`.venv/bin/python benchmarks/gpu/run.py`, or `python3 benchmarks/gpu/run.py --only model` where only
torch 2.13 and numpy are installed. No network. Prints tables, writes JSON after every section. To
try it without a GPU: `--device cpu --small`; such figures say nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
# Where our packages are not installed, their sources do.
sys.path += [str(ROOT / package / "src") for package in ("client", "server", "model")]

from gpu.options import Deadline, Options  # noqa: E402
from gpu.runner import Result, Runner  # noqa: E402
from gpu.tables import table  # noqa: E402

# Parts of the time, in this order; what one leaves over goes to those after it.
SECTIONS = {"padding": 3, "precision": 3, "batch sizes": 3, "attention": 4, "service": 7}
GROUPS = {"all": tuple(SECTIONS), "model": tuple(SECTIONS)[:-1]}
RESERVE_SECONDS = 25.0  # to end processes and write
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
SQUAD_DEV = ROOT.parent / "shared" / "data" / "squad" / "dev-v1.1.json.xz"


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    begin = monotonic()
    deadline = Deadline.after(arguments.minutes * 60 - RESERVE_SECONDS)
    options = Options(
        arguments.device, arguments.small, arguments.windows, arguments.data, arguments.trained
    )
    report: dict[str, object] = {
        "machine": host(),
        "arguments": {
            name: value.name if isinstance(value, Path) else value
            for name, value in vars(arguments).items()
        },
    }
    results: dict[str, Result] = {}
    with Runner(options) as runner:
        tell("starting the process that measures")
        if reason := runner.start(Deadline.after(deadline.left() / 2)):
            sys.exit(f"nothing can be measured: {reason}")
        for name in (names := GROUPS.get(arguments.only, (arguments.only,))):
            waiting = sum(SECTIONS[one] for one in names[len(results) :])
            seconds = deadline.left() * SECTIONS[name] / waiting
            tell(f"{name}: at most {seconds:.0f} s")
            results[name] = runner.run(name, seconds)
            tell(f"{name}: {results[name].told()}")
            report["machine"] = host() | runner.machine
            report["sections"] = {name: asdict(result) for name, result in results.items()}
            report["seconds"] = monotonic() - begin
            write(arguments.json, report)
            print(table(name, results[name]), flush=True)
    tell(f"{monotonic() - begin:.0f} s in all; figures in {arguments.json or 'no file'}")
    if not any(result.rows for result in results.values()):
        sys.exit("nothing could be measured")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=(*GROUPS, *SECTIONS), default="all")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything, at least 1")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, …, or cpu")
    parser.add_argument("--small", action="store_true", help="a tiny shape, to try the script")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/gpu.json")
    parser.add_argument("--windows", type=Path, help="FILE.npz of benchmarks/gpu/windows.py")
    parser.add_argument("--data", type=Path, default=SQUAD_DEV, help="SQuAD v1.1 JSON file")
    parser.add_argument(
        "--trained",
        type=Path,
        default=ROOT / "model_repository" / "bert_qa" / "1",
        help="version whose trained weights are compared in each dtype",
    )
    arguments = parser.parse_args()
    if not arguments.minutes >= 1:
        parser.error(f"--minutes {arguments.minutes:g}: must be at least 1")
    if arguments.windows and not arguments.windows.is_file():
        parser.error(
            f"--windows {arguments.windows}: no such file; benchmarks/gpu/windows.py makes"
        )
    if arguments.device != "cpu" and not arguments.device.startswith("cuda"):
        parser.error(f"--device {arguments.device}: must be cuda, cuda:N or cpu")
    missing = [name for name in ("torch", "numpy") if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(
            f"{sys.executable} lacks {' and '.join(missing)}: `make setup`, or install "
            "torch==2.13.0 and numpy; nothing else is needed for --only model"
        )
    if arguments.json is None and not arguments.small:
        arguments.json = RESULTS
    return arguments


def host() -> dict[str, object]:
    """What can be known without torch."""
    found: dict[str, object] = {"system": platform.platform(), "cores": os.cpu_count()}
    if program := shutil.which("nvidia-smi"):
        query = [
            "--query-gpu=name,driver_version,power.limit,clocks.max.sm",
            "--format=csv,noheader",
        ]
        told = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=20, check=False
        )
        found["nvidia_smi"] = told.stdout.strip() or told.stderr.strip()
    return found


def write(file: Path | None, report: dict[str, object]) -> None:
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
