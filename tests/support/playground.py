"""A real ``spanqa playground`` process, and a real Chromium to look at it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.processes import BIN, clean_environment

PROGRAM = str(BIN / "spanqa")
ROOT = Path(__file__).parents[2]
AXE = ROOT / ".cache" / "playground" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def running_playground(target: str, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The page's URL and the process, which is ended with the block."""
    command = (PROGRAM, "playground", "--port", "0", "--target", target, *arguments)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), process.stderr.read()
            yield line.split()[0], process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(20)


def chromium() -> Path | None:
    """Chromium or Chrome, if this machine has it."""
    return next((Path(found) for found in map(shutil.which, CHROMIUM_NAMES) if found), None)


@contextlib.contextmanager
def running_chromium() -> Iterator[Any]:
    """A headless browser, as Playwright's ``Browser``; needs playwright and Chromium."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        sys.exit("Chromium is not on PATH: make test-playground installs it where apt-get can")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program))
        try:
            yield browser
        finally:
            browser.close()
