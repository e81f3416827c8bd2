"""Run a program that ends when this process's parent does, however the parent ends.

Executed as a script, `python launch.py PROGRAM [ARGUMENT…]`: doing this between fork and
exec of the server itself would run Python code in a copy of a process with gRPC threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        sys.exit("the parent is gone")
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
