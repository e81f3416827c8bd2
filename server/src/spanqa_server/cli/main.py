"""The entry point of `spanqa-server`."""

import os
import sys
from collections.abc import MutableMapping
from typing import NoReturn

from spanqa_server.processes.ending import run_as_process

# gRPC's newer engine hands each event from thread to thread, for a tenth more CPU time a request
# (docs/benchmarks.md). It reads this when it is imported; workers inherit it.
GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"
# What it prints by itself would stand between our lines, in a format of its own.
GRPC_VERBOSITY = "NONE"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def keep_loopback_from_proxies(environment: MutableMapping[str, str]) -> None:
    """A proxy that `http_proxy` names cannot reach this machine's own loopback.

    gRPC reads `no_grpc_proxy` and, where that is missing, `no_proxy`; all else reads `no_proxy`.
    """
    for name in {"no_proxy", "no_grpc_proxy"} & {"no_proxy", *environment}:
        given = [part for part in environment.get(name, "").split(",") if part]
        environment[name] = ",".join(dict.fromkeys([*given, *LOOPBACK]))


def process() -> NoReturn:
    """Run the command line as this process, which ends with it."""
    run_as_process(main)


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the first moment on."""
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    os.environ.setdefault("GRPC_VERBOSITY", GRPC_VERBOSITY)
    keep_loopback_from_proxies(os.environ)
    try:
        from spanqa_server.cli.commands import run  # importing it takes half a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)
