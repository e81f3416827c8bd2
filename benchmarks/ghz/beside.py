"""ghz and our open loop beside each other: the same rates, at the same server, in turns.

`make load-beside`. Both send at equal gaps. ghz counts from sending, ours from when a request was
due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import REPOSITORY, ROOT
from benchmarks.common.report import write_result
from benchmarks.common.workload import MIXES, make_parser, positive
from benchmarks.ghz import run
from benchmarks.service import open_loop
from support.processes import running_server

QUESTIONS, CONNECTIONS, TIMEOUT = 1000, 4, 10


def main() -> None:
    """Offer every rate by both, print a table, write JSON."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--rates", type=open_loop.rates, default=[10.0, 20.0, 30.0, 40.0, 50.0])
    add("--seconds", type=positive, default=20.0, help="of each rate")
    add("--repository", type=Path, default=REPOSITORY)
    add("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    ghz = run.find_ghz()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        there = Path(directory)
        with running_server(arguments.repository, there / "log") as server:
            for rate in arguments.rates:
                print(f"{rate:g} a second", file=sys.stderr)
                rows.append(by_open_loop(arguments, server.target, rate))
                rows.append(by_ghz(ghz, arguments, server.target, rate, there))
    show(rows)
    if arguments.json:
        write_result(arguments.json, arguments, rows=rows)


def by_open_loop(arguments: argparse.Namespace, target: str, rate: float) -> dict[str, Any]:
    given = ["--target", target, "--data", str(arguments.data), "--rates", str(rate)]
    given += ["--seconds", str(arguments.seconds), "--arrivals", "constant"]
    given += ["--questions", str(QUESTIONS), "--connections", str(CONNECTIONS)]
    options = open_loop.parse_arguments([*given, "--timeout", str(TIMEOUT)])
    requests = MIXES["squad"](arguments.data, QUESTIONS, 0)
    _, [report] = asyncio.run(open_loop.offer_all(options, target, requests))
    told = asdict(report)
    return {"generator": "open loop", "rate": rate, "codes": told["codes"], **told["seconds"]}


def by_ghz(
    ghz: str, arguments: argparse.Namespace, target: str, rate: float, there: Path
) -> dict[str, Any]:
    given = ["--target", target, "--data", str(arguments.data), "--count", str(QUESTIONS)]
    given += ["--payloads", str(there / "payloads.json"), "--reports", str(there)]
    options = run.parse_arguments(given)
    options.ghz = ["--rps", f"{rate:g}", "--duration", f"{arguments.seconds:g}s"]
    run.write_payloads(options)
    out = there / "ghz.json"
    subprocess.run([ghz, *run.ghz_command(options, out)], cwd=ROOT, check=True)
    report = json.loads(out.read_text())
    times = {f"p{one['percentage']}": one["latency"] / 1e9 for one in report["latencyDistribution"]}
    codes = report["statusCodeDistribution"]
    shares = {name: times[name] for name in ("p50", "p90", "p95", "p99")}
    return {
        "generator": "ghz",
        "rate": rate,
        "codes": codes,
        **shares,
        "max": report["slowest"] / 1e9,
    }


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"equal gaps, {CONNECTIONS} connections; ms")
    shares = ("p50", "p95", "p99", "max")
    for column in ("rate", "generator", *shares):
        table.add_column(column, justify="right")
    table.add_column("statuses")
    for row in rows:
        times = ("–" if row[share] is None else f"{row[share] * 1e3:.0f}" for share in shares)
        counted = ", ".join(f"{code} {count}" for code, count in row["codes"].items())
        table.add_row(f"{row['rate']:g}", row["generator"], *times, counted)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
