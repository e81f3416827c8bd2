"""Kill what is left of a program of ours once it has ended, or its parent has.

Executed as a script, `python guard.py PARENT-PID SECONDS`, by a process that then becomes the
program. The signal that a program gets when its parent ends reaches it alone: its own children
live on if it is killed, or hangs.
"""

import contextlib
import os
import select
import signal
import sys

MAX_SECONDS = 1_000_000.0


def wait_for_end(processes: list[int], seconds: float) -> bool:
    """Wait for the end of any of these; whether one ended in time. OSError: Linux before 5.3."""
    poll = select.poll()
    descriptors = []
    try:
        for process in processes:
            try:
                descriptors.append(os.pidfd_open(process))
            except ProcessLookupError:
                return True
            poll.register(descriptors[-1], select.POLLIN)
        return bool(poll.poll(min(seconds, MAX_SECONDS) * 1000))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def guard(parent: int, program: int, seconds: float) -> None:
    """Return when nothing of the program has a right to live any more."""
    while not wait_for_end([parent, program], MAX_SECONDS):
        pass
    wait_for_end([program], seconds)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    leader = os.getpgrp()
    with contextlib.suppress(OSError):
        guard(int(sys.argv[1]), leader, float(sys.argv[2]))
        os.killpg(leader, signal.SIGKILL)
