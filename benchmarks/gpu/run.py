"""Everything that a GPU can say about SpanQA, in one command and under eight minutes.

`make bench-gpu`, or `python3 -m benchmarks.gpu.run --only model` where only torch 2.13 and numpy
are installed. No network. Prints tables, writes JSON after every section. To try it without a GPU:
`--device cpu --small`; such figures say nothing.
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
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks import RESULTS, ROOT
from benchmarks.common.squad import SQUAD_DEV
from benchmarks.gpu.options import Row

# Parts of the time, in this order; what one leaves over goes to those after it.
SECTIONS = {"padding": 3, "precision": 3, "batch sizes": 3, "attention": 4, "vLLM": 8, "service": 7}
GROUPS = {"all": tuple(SECTIONS), "model": tuple(SECTIONS)[:-2]}
RESERVE_SECONDS, STOP_SECONDS = 25.0, 20.0  # to end processes and write
MARGIN = 0.85  # of a section's time is for measuring, the rest to come to an end
# In the JSON only; the reason of a failure is long and goes to the end of its line.
OMITTED = {"failed", "fastest_ms", "slowest_ms", "rounds"}


@dataclass(slots=True)
class Result:
    """What came of a section: "done", "missing", "failed" or "out of time", and its rows."""

    status: str = "failed"
    reason: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=dict)


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    begin = monotonic()
    end = begin + arguments.minutes * 60 - RESERVE_SECONDS
    named = {
        name: value.name if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
    }
    report: dict[str, Any] = {"machine": host(), "arguments": named, "sections": {}}
    names = GROUPS.get(arguments.only, (arguments.only,))
    if arguments.only == "all" and importlib.util.find_spec("vllm") is None:
        names = tuple(name for name in names if name != "vLLM")
        say("without vLLM, which is not installed: benchmarks/gpu/vllm_model.py says how")
    for at, name in enumerate(names):
        waiting = sum(SECTIONS[one] for one in names[at:])
        seconds = (end - monotonic()) * SECTIONS[name] / waiting
        say(f"{name}: at most {seconds:.0f} s")
        result = run_section(name, seconds, arguments)
        if result.status == "missing" and not result.machine:
            sys.exit(f"nothing can be measured: {result.reason}")
        report["machine"] |= result.machine
        kept = {key: value for key, value in asdict(result).items() if key != "machine"}
        report["sections"][name] = kept
        report["seconds"] = monotonic() - begin
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")
        print(table(name, result), flush=True)
    say(f"{monotonic() - begin:.0f} s in all; figures in {arguments.json or 'no file'}")
    if not any(section["rows"] for section in report["sections"].values()):
        sys.exit("nothing could be measured")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--only", choices=(*GROUPS, *SECTIONS), default="all")
    add("--minutes", type=float, default=8.0, help="for everything, at least 1")
    add("--device", default="cuda", help="cuda, cuda:1, …, or cpu")
    add("--small", action="store_true", help="a tiny shape, to try the script")
    add("--json", type=Path, help="default: benchmarks/results/gpu.json, none with --small")
    add("--data", type=Path, default=SQUAD_DEV, help="SQuAD v1.1 JSON file")
    arguments = parser.parse_args()
    if not arguments.minutes >= 1:
        parser.error(f"--minutes {arguments.minutes:g}: must be at least 1")
    if arguments.device != "cpu" and not arguments.device.startswith("cuda"):
        parser.error(f"--device {arguments.device}: must be cuda, cuda:N or cpu")
    missing = [name for name in ("torch", "numpy") if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(
            f"{sys.executable} lacks {' and '.join(missing)}: `make setup`, or install "
            "torch==2.13.0 and numpy; nothing else is needed for --only model"
        )
    if arguments.json is None and not arguments.small:
        arguments.json = RESULTS / "gpu.json"
    return arguments


def run_section(name: str, seconds: float, arguments: argparse.Namespace) -> Result:
    """One section in a process of its own, ended when its time is over."""
    begin = monotonic()
    with tempfile.TemporaryDirectory(prefix="spanqa-gpu-") as directory:
        file = Path(directory) / "rows"
        given = {
            **{"section": name, "file": str(file), "deadline": begin + MARGIN * seconds},
            **{"device": arguments.device, "small": arguments.small},
            "data": str(arguments.data.resolve()),
        }
        command = [sys.executable, "-m", "benchmarks.gpu.section", json.dumps(given)]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            process.wait(max(1.0, seconds))
            result = Result(reason=f"its process ended with exit code {process.returncode}")
        except subprocess.TimeoutExpired:
            result = Result("out of time")
        finally:
            stop(process)
        for line in file.read_text().splitlines() if file.is_file() else ():
            ((kind, content),) = json.loads(line).items()
            if kind == "row":
                result.rows.append(content)
            elif kind == "machine":
                result.machine = content
            else:
                result.status, result.reason = content
    result.seconds = monotonic() - begin
    return result


def stop(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM first, so that what it started ends too."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def host() -> dict[str, object]:
    """What can be known without torch."""
    found: dict[str, object] = {"system": platform.platform(), "cores": os.cpu_count()}
    if program := shutil.which("nvidia-smi"):
        query = "--query-gpu=name,driver_version,power.limit,clocks.max.sm"
        command = [program, query, "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        found["nvidia_smi"] = done.stdout.strip() or done.stderr.strip()
    return found


def table(name: str, result: Result) -> str:
    """Rows as text, a column for each key; the GPU host may have no library for that."""
    title = f"\n{name}: {result.status}" + (f": {result.reason}" if result.reason else "")
    columns = list(dict.fromkeys(key for row in result.rows for key in row if key not in OMITTED))
    lines = [[column.replace("_", " ") for column in columns]]
    lines += [[cell(row.get(column, "")) for column in columns] for row in result.rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    reasons = [
        "",
        *(f"  FAILED: {row['failed']}" if "failed" in row else "" for row in result.rows),
    ]
    printed = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + reason
        for line, reason in zip(lines, reasons, strict=True)
    ]
    return "\n".join([title, *printed]) if result.rows else title


def cell(value: str | int | float) -> str:
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
