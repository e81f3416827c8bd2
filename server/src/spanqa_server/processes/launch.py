"""Run a program that ends when its parent does, however the parent ends.

Executed as a script, `python launch.py PARENT-PID SIGNAL SECONDS PROGRAM [ARGUMENT…]`: doing this
between fork and exec of the server itself would run Python code in a copy of a process with gRPC
threads. The program leads its session. It gets the signal when the parent is gone; a guard beside
it kills what is left of the session so many seconds later. What it writes is its user's alone.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, number, seconds, *program = sys.argv[1:]
    os.umask(0o077)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):  # it ended before the line above
        sys.exit("the parent is gone")
    if os.fork() == 0:
        guard = os.path.join(os.path.dirname(__file__), "guard.py")
        os.execv(sys.executable, [sys.executable, "-I", "-S", guard, parent, seconds])  # noqa: S606
    os.execv(program[0], program)  # noqa: S606
