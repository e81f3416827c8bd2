"""The entry point of `spanqa-server`."""

import os
import sys
from typing import NoReturn

from spanqa_server.processes.ending import run_as_process

# gRPC's newer engine hands each event from thread to thread, for a tenth more CPU time a request
# (docs/benchmarks.md). It reads this when it is imported; workers inherit it.
GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"


def process() -> NoReturn:
    """Run the command line as this process, which ends with it."""
    run_as_process(main)


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the first moment on."""
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    try:
        from spanqa_server.cli.commands import run  # importing it takes half a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)
