"""Run a program that ends when its parent does, however the parent ends.

Executed as a script, `python launch.py PARENT-PID SIGNAL PROGRAM [ARGUMENT…]`: doing this between
fork and exec of the server itself would run Python code in a copy of a process with gRPC threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sys.argv[2]))
    if os.getppid() != int(sys.argv[1]):  # it ended before the line above
        sys.exit("the parent is gone")
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606
