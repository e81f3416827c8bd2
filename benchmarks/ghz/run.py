"""Load a running server with ghz: SQuAD questions, one of the profiles beside this file.

`make load PROFILE=ramp TARGET=localhost:50051`. Writes the questions, runs ghz, keeps its JSON
report in benchmarks/reports/ and prints what matters of it. What follows `--` goes to ghz as it
is and wins over the profile: `make load GHZ="--rps 40 --duration 30s"`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.rpc import status_pb2

from benchmarks import ROOT
from benchmarks.common.workload import MIXES, make_parser, positive_count

PROFILES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
REPORTS = ROOT / "benchmarks" / "reports"
TEMPLATE_ACTION = "{{"
PROTO = ROOT / "protos" / "spanqa" / "v1" / "question_answering.proto"
GOOGLEAPIS = Path(status_pb2.__file__).parents[2]
MISSING = """ghz is not installed: there is no `ghz` on PATH. Take a release from
https://github.com/bojand/ghz/releases, or `brew install ghz`, or
`go install github.com/bojand/ghz/cmd/ghz@latest`.
Without it: `make load-open-loop RATES=20,40,60` needs nothing else."""


def main() -> None:
    """Write the questions, run ghz, print its report."""
    arguments = parse_arguments()
    if not shutil.which("ghz"):
        sys.exit(MISSING)
    write_payloads(arguments)
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    report = arguments.reports.resolve() / f"{arguments.profile}-{arguments.mode}-{now}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    command = ghz_command(arguments, report)
    print(shlex.join(command), flush=True)
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if ended:
        sys.exit(ended)
    print(f"{report}:\n{told(json.loads(report.read_text()))}")


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--mix", choices=tuple(MIXES), default="squad")
    add("--count", type=positive_count, default=1000, help="different questions, asked in turn")
    add("--seed", type=int, default=0, help="of the questions")
    add("--payloads", type=Path, default=REPORTS / "payloads.json", help="file for the questions")
    add("--profile", choices=tuple(PROFILES), default="constant")
    add("--target", default="localhost:50051", help="host:port of a running server")
    add("--mode", choices=("proto", "reflection"), default="proto", help="where the API is read")
    add("--cacert", type=Path, help="certificates to trust: TLS; without it no TLS")
    add("--cname", help="the name in the server's certificate, where --target has another")
    add("--reports", type=Path, default=REPORTS, help="folder for ghz's report")
    add("ghz", nargs="*", metavar="-- OPTION", help="options for ghz itself")
    arguments = parser.parse_args()
    if arguments.cacert and not arguments.cacert.is_file():
        parser.error(f"argument --cacert: there is no file {arguments.cacert}")
    if arguments.cname and not arguments.cacert:
        parser.error("argument --cname: only with --cacert, which turns TLS on")
    return arguments


def write_payloads(arguments: argparse.Namespace) -> None:
    """One AnswerRequest a question, with protobuf's JSON names; says what was written."""
    requests = MIXES[arguments.mix](arguments.data, arguments.count, arguments.seed)
    messages = [MessageToDict(request) for request in requests]
    # ghz would run such a text as a Go template, and fail or ask something else.
    plain = [message for message in messages if TEMPLATE_ACTION not in json.dumps(message)]
    told = f"{len(plain)} questions"
    if len(plain) < len(messages):
        told += f", {len(messages) - len(plain)} with {TEMPLATE_ACTION} left out"
    if not plain:
        sys.exit(f"--data {arguments.data}: {told}; name another file")
    arguments.payloads.parent.mkdir(parents=True, exist_ok=True)
    arguments.payloads.write_text(json.dumps(plain, indent=1) + "\n")
    print(f"{arguments.payloads}: {told}")


def ghz_command(arguments: argparse.Namespace, report: Path) -> list[str]:
    """The profile says how much to ask; the options, whom and how."""
    command = ["ghz", "--config", str(PROFILES[arguments.profile])]
    command += ["--data-file", str(arguments.payloads.resolve())]
    if arguments.mode == "proto":
        paths = (PROTO.parents[2], GOOGLEAPIS)
        command += ["--proto", str(PROTO), "--import-paths", ",".join(map(str, paths))]
    if arguments.cacert:
        command += ["--cacert", str(arguments.cacert.resolve())]
        command += ["--cname", arguments.cname] if arguments.cname else []
    else:
        command += ["--insecure"]
    command += ["--format", "json", "--output", str(report), *arguments.ghz]
    return [*command, arguments.target]


def told(report: dict[str, Any]) -> str:
    """The rate, statuses and latencies (nanoseconds there) of a report; ends where none is OK."""
    codes = report["statusCodeDistribution"]
    counted = ", ".join(f"{code} {count}" for code, count in codes.items())
    if not codes.get("OK"):
        errors = "; ".join(report.get("errorDistribution") or ())
        sys.exit(f"no request was answered: {counted or 'none was sent'}. {errors}")
    latencies = ", ".join(
        f"p{entry['percentage']} {entry['latency'] / 1e6:.0f}"
        for entry in report["latencyDistribution"]
    )
    return (
        f"{report['count']} requests, {report['rps']:.1f}/s; {counted}; ms from sending, of those "
        f"answered: {latencies}, slowest {report['slowest'] / 1e6:.0f}"
    )


if __name__ == "__main__":
    main()
