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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from google.rpc import status_pb2  # noqa: E402

from ghz.payloads import REPORTS, add_payload_options, write_payloads  # noqa: E402

PROFILES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_payload_options(parser)
    add = parser.add_argument
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
