"""The entry point of `spanqa-server`."""

import logging
import os
import sys
from typing import NoReturn


def process() -> NoReturn:
    """Run the command line as this process, which ends with it.

    It does not wait for threads: one may be at a text of a million tokens that nobody wants.
    """
    main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the first moment on."""
    try:
        from spanqa_server.commands import run  # importing it takes half a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)
