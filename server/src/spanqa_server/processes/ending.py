"""The end of a process of ours."""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn


def run_as_process(main: Callable[[], None]) -> NoReturn:
    """Run `main`, and end the process with it.

    It does not wait for threads: one may still tokenize a text of a million tokens that nobody
    wants any more.
    """
    main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
