"""Load a running server with ghz: SQuAD questions, one of the profiles beside this file.

`make ghz` installs it; `make load PROFILE=ramp METHOD=batch TARGET=localhost:50051`. Writes the
questions, runs ghz, keeps its JSON report in benchmarks/reports/ and prints what matters of it.
What follows `--` goes to ghz as it is and wins over the profile: `make load GHZ="--rps 40"`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from benchmarks import ROOT
from benchmarks.common.workload import MIXES, make_parser, positive_count
from spanqa.v1 import question_answering_pb2 as pb

PROFILES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
REPORTS = ROOT / "benchmarks" / "reports"
PROTOS = ROOT / "protos"
PROTO = PROTOS / "spanqa" / "v1" / "question_answering.proto"
INSTALLED = ROOT / ".cache" / "go" / "bin"
MISSING = """ghz is not installed. `make ghz` installs it, and needs Go; or take a release from
https://github.com/bojand/ghz/releases and put it on PATH.
Without it: `make load-open-loop RATES=20,40,60` needs nothing else."""
# Pairs of a batch or of a stream, and documents of a call.
SEVERAL = 8


def main() -> None:
    """Write the questions, run ghz, print its report."""
    arguments = parse_arguments()
    ghz = find_ghz()
    write_payloads(arguments)
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    name = f"{arguments.profile}-{arguments.method}-{arguments.mode}-{now}.json"
    report = arguments.reports.resolve() / name
    report.parent.mkdir(parents=True, exist_ok=True)
    command = ghz_command(arguments, report)
    print(shlex.join(["ghz", *command]), flush=True)
    secret = token_options(arguments)
    ended = subprocess.run([ghz, *secret, *command], cwd=ROOT, check=False).returncode
    if ended:
        sys.exit(ended)
    print(f"{report}:\n{told(json.loads(report.read_text()))}")


def find_ghz() -> str:
    """Its path; ends with a remedy where it is not installed."""
    found = shutil.which("ghz", path=f"{INSTALLED}{os.pathsep}{os.environ['PATH']}")
    return found or sys.exit(MISSING)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--mix", choices=tuple(MIXES), default="squad")
    add("--count", type=positive_count, default=1000, help="different questions, asked in turn")
    add("--seed", type=int, default=0, help="of the questions")
    add("--payloads", type=Path, default=REPORTS / "payloads.json", help="file for the questions")
    add("--profile", choices=tuple(PROFILES), default="constant")
    add("--method", choices=tuple(METHODS), default="answer", help="what is called")
    add("--target", default="localhost:50051", help="host:port of a running server")
    add("--mode", choices=("proto", "reflection"), default="proto", help="where the API is read")
    add("--cacert", type=Path, help="certificates to trust: TLS; without it no TLS")
    add("--cname", help="the name in the server's certificate, where --target has another")
    add("--token", default=os.environ.get("TOKEN"), help="bearer token (default: $TOKEN)")
    add("--reports", type=Path, default=REPORTS, help="folder for ghz's report")
    add("ghz", nargs="*", metavar="-- OPTION", help="options for ghz itself")
    arguments = parser.parse_args(given)
    if arguments.cacert and not arguments.cacert.is_file():
        parser.error(f"argument --cacert: there is no file {arguments.cacert}")
    if arguments.cname and not arguments.cacert:
        parser.error("argument --cname: only with --cacert, which turns TLS on")
    return arguments


def batch(pairs: Sequence[pb.AnswerRequest]) -> list[Message]:
    """Batches of some pairs each."""
    groups = [pairs[at : at + SEVERAL] for at in range(0, len(pairs), SEVERAL)]
    return [pb.BatchAnswerRequest(requests=group) for group in groups]


def stream(pairs: Sequence[pb.AnswerRequest]) -> list[Message]:
    """The pairs of one stream: ghz sends all messages of the file in each."""
    numbered = enumerate(pairs[:SEVERAL])
    return [pb.StreamAnswerRequest(id=str(number), request=pair) for number, pair in numbered]


def documents(pairs: Sequence[pb.AnswerRequest]) -> list[Message]:
    """Each question about its own text and some others."""
    contexts = [pair.context for pair in pairs] * 2
    return [
        pb.AnswerFromDocumentsRequest(
            question=pair.question,
            documents=[pb.Document(text=text) for text in contexts[at : at + SEVERAL]],
        )
        for at, pair in enumerate(pairs)
    ]


METHODS: dict[str, tuple[str, Callable[[Sequence[pb.AnswerRequest]], Sequence[Message]]]] = {
    "answer": ("Answer", lambda pairs: pairs),
    "batch": ("BatchAnswer", batch),
    "stream": ("StreamAnswer", stream),
    "documents": ("AnswerFromDocuments", documents),
}


def write_payloads(arguments: argparse.Namespace) -> None:
    """The requests with protobuf's JSON names; says how many were written."""
    pairs = MIXES[arguments.mix](arguments.data, arguments.count, arguments.seed)
    messages = [MessageToDict(request) for request in METHODS[arguments.method][1](pairs)]
    arguments.payloads.parent.mkdir(parents=True, exist_ok=True)
    arguments.payloads.write_text(json.dumps(messages, indent=1) + "\n")
    print(f"{arguments.payloads}: {len(messages)} messages")


def ghz_command(arguments: argparse.Namespace, report: Path) -> list[str]:
    """The arguments of ghz. The profile says how much to ask; the options, whom and how.

    Texts are no templates, and errors have latencies, too.
    """
    command = ["--config", str(PROFILES[arguments.profile])]
    command += ["--call", f"spanqa.v1.QuestionAnsweringService/{METHODS[arguments.method][0]}"]
    command += ["--data-file", str(arguments.payloads.resolve())]
    command += ["--disable-template-data", "--count-errors"]
    if arguments.mode == "proto":
        command += ["--proto", str(PROTO), "--import-paths", str(PROTOS)]
    if arguments.cacert:
        command += ["--cacert", str(arguments.cacert.resolve())]
        command += ["--cname", arguments.cname] if arguments.cname else []
    else:
        command += ["--insecure"]
    command += ["--format", "json", "--output", str(report), *arguments.ghz]
    return [*command, arguments.target]


def token_options(arguments: argparse.Namespace) -> list[str]:
    """For the calls, and for reflection, where the server wants it, too. They are not printed."""
    if not arguments.token:
        return []
    metadata = json.dumps({"authorization": f"Bearer {arguments.token}"})
    reflection = ["--reflect-metadata", metadata] if arguments.mode == "reflection" else []
    return ["--metadata", metadata, *reflection]


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
        f"{report['count']} requests, {report['rps']:.1f}/s; {counted}; ms from sending, failed "
        f"ones included: {latencies}, slowest {report['slowest'] / 1e6:.0f}"
    )


if __name__ == "__main__":
    main()
