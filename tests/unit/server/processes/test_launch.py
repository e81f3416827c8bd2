"""What a program may do that the server starts, and when it ends."""

import os
import subprocess
import sys
from pathlib import Path

from spanqa_server.processes.supervised import LAUNCHER

MAKES_FILES = """
import os, sys
for name in ("made", "opened"):
    descriptor = os.open(f"{sys.argv[1]}/{name}", os.O_CREAT | os.O_WRONLY, 0o666)
    if name == "opened":
        os.fchmod(descriptor, 0o644)
"""


def test_files_stay_closed_to_others_even_if_the_program_opens_them(tmp_path: Path) -> None:
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "15", "1")
    program = (sys.executable, "-c", MAKES_FILES, str(tmp_path))
    subprocess.run([*launcher, *program], check=True, timeout=20, start_new_session=True)
    modes = {file.name: f"{file.stat().st_mode & 0o777:o}" for file in tmp_path.iterdir()}
    assert modes == {"made": "600", "opened": "600"}


def test_a_program_whose_parent_has_gone_does_not_start(tmp_path: Path) -> None:
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER), "1", "15", "1")
    program = (sys.executable, "-c", MAKES_FILES, str(tmp_path))
    ended = subprocess.run(
        [*launcher, *program], capture_output=True, text=True, check=False, timeout=20
    )
    assert (ended.returncode, ended.stderr) == (1, "the parent is gone\n")
    assert list(tmp_path.iterdir()) == []
