"""Run a program that ends when its parent does, however the parent ends.

Executed as a script, `python launch.py PARENT-PID SIGNAL SECONDS PROGRAM [ARGUMENT…]`: doing this
between fork and exec of the server itself would run Python code in a copy of a process with gRPC
threads. The program leads its session. It gets the signal when the parent is gone; a guard beside
it kills what is left of the session so many seconds later.

The files that the program makes are its user's alone, also those that it opens to others
afterwards, as Triton does with its shared memory: it would be too late to close them then.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SECCOMP, FCHMOD, X86_64 = 317, 91, 0xC000003E
SET_FILTER, ALLOW_SPECULATION = 1, 4
# A program for the kernel: fchmod succeeds and does nothing, all else is as always. In each
# instruction: code, where to go on if it is true or not, value.
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, DO_NOTHING = 0x7FFF0000, 0x00050000
FILTER = (
    (LOAD, 0, 0, 4),
    (IF_EQUAL, 0, 3, X86_64),
    (LOAD, 0, 0, 0),
    (IF_EQUAL, 0, 1, FCHMOD),
    (RETURN, 0, 0, DO_NOTHING),
    (RETURN, 0, 0, ALLOW),
)


def keep_files_closed(libc: ctypes.CDLL) -> None:
    """Let the umask count, whatever mode an open file is given later; as far as Linux lets us."""
    os.umask(0o077)
    if platform.machine() != "x86_64":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in FILTER))
    program = struct.pack("HP", len(FILTER), ctypes.addressof(code))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.syscall(SECCOMP, SET_FILTER, ALLOW_SPECULATION, program)


if __name__ == "__main__":
    parent, number, seconds, *command = sys.argv[1:]
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):  # it ended before the line above
        sys.exit("the parent is gone")
    if os.fork() == 0:
        guard = os.path.join(os.path.dirname(__file__), "guard.py")
        os.execv(sys.executable, [sys.executable, "-I", "-S", guard, parent, seconds])  # noqa: S606
    keep_files_closed(libc)
    os.execv(command[0], command)  # noqa: S606
