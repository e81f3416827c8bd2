"""Write SQuAD questions as the data file that ghz asks in turn: a JSON array of AnswerRequest.

`.venv/bin/python benchmarks/ghz/payloads.py --count 1000 --seed 0`. `make load` does it first.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from google.protobuf.json_format import MessageToDict  # noqa: E402

from workload import MIXES, add_data_option, positive_count  # noqa: E402

REPORTS = ROOT / "benchmarks" / "reports"
TEMPLATE_ACTION = "{{"


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_payload_options(parser)
    write_payloads(parser.parse_args())


def add_payload_options(parser: argparse.ArgumentParser) -> None:
    """What to ask, and where to write it."""
    add_data_option(parser)
    parser.add_argument("--mix", choices=tuple(MIXES), default="squad")
    parser.add_argument("--count", type=positive_count, default=1000, help="questions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--payloads", type=Path, default=REPORTS / "payloads.json", help="the file to write"
    )


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


if __name__ == "__main__":
    main()
