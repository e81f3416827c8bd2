"""Another user of the machine, who looks for something wherever that user may look.

Executed as a script by root: `python spy.py UID SINCE PIDS NEEDLE…`, with needles in hexadecimal.
Prints each place where one of them is, or that should be closed and is open.
"""

import os
import socket
import stat
import sys
from collections.abc import Iterator

ROOTS = ("/dev/shm", "/tmp", "/var/tmp", "/run")
MOST = 256 << 20


def files(since: float) -> Iterator[str]:
    """Those that changed since then."""
    for root in ROOTS:
        for directory, _, names in os.walk(root):
            for name in names:
                path = os.path.join(directory, name)
                try:
                    state = os.lstat(path)
                except OSError:
                    continue
                if stat.S_ISREG(state.st_mode) and state.st_mtime >= since:
                    yield path
                elif stat.S_ISSOCK(state.st_mode) and connects(path):
                    print(f"connected to {path}")


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(path)
        except OSError:
            return False
        return "spanqa" in path


def of_process(pid: str) -> Iterator[str]:
    """What the kernel shows of it, arguments for all, the rest for its user."""
    for name in ("cmdline", "environ", "mem", "maps", "stack", "io"):
        yield f"/proc/{pid}/{name}"
    for name in ("fd", "map_files", "cwd"):
        try:
            yield from (f"/proc/{pid}/{name}/{one}" for one in os.listdir(f"/proc/{pid}/{name}"))
        except OSError:
            continue


def main() -> None:
    uid, since, pids, *given = sys.argv[1:]
    needles = [bytes.fromhex(one) for one in given]
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    for path in (*files(float(since)), *(p for pid in pids.split(",") for p in of_process(pid))):
        try:
            with open(path, "rb") as file:
                content = file.read(MOST)
        except OSError:
            continue
        if path.startswith("/proc/") and not path.endswith("/cmdline"):
            print(f"read {path}")
        if any(needle in content for needle in needles):
            print(f"found in {path}")


if __name__ == "__main__":
    main()
