"""The entry point of `spanqa-server`."""

import sys
from typing import NoReturn

from spanqa_server.processes.ending import run_as_process


def process() -> NoReturn:
    """Run the command line as this process, which ends with it."""
    run_as_process(main)


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the first moment on."""
    try:
        from spanqa_server.commands import run  # importing it takes half a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)
