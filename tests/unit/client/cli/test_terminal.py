"""What a person sees on a terminal: a sign of life, and lines that break at words."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import FakeService, Handler

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
TEXT = "Ada wrote the very first program for a machine that nobody had built by then"


class Terminal:
    """A process whose standard output and error are a terminal of 40 columns."""

    def __init__(self, *command: str, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        code = "from spanqa_command import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *command],
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "40", "NO_COLOR": "1"} | variables,
        )
        os.close(theirs)
        assert self.process.stdin is not None
        self.process.stdin.write(TEXT.encode())
        self.process.stdin.close()

    def pieces(self) -> Iterator[str]:
        """What it prints, until it ends."""
        try:
            while piece := os.read(self._ours, 4096):
                self.text += piece.decode()
                yield self.text
        except OSError:  # the other side has gone
            return

    def close(self) -> None:
        for _ in self.pieces():
            pass
        self.process.wait(timeout=60)
        os.close(self._ours)


@pytest.fixture
def held(service: FakeService) -> threading.Event:
    """The answer comes once this is set."""
    answer: Handler = service.answer
    go = threading.Event()

    def wait(request: pb.AnswerRequest, context: grpc.ServicerContext) -> Any:
        assert go.wait(timeout=60)
        return answer(request, context)

    service.answer = wait
    return go


def test_a_long_call_shows_a_spinner_and_the_answer_breaks_at_words(
    service: FakeService, held: threading.Event
) -> None:
    terminal = Terminal("ask", "Who?", SPANQA_TARGET=service.target)
    try:
        assert any("waiting for answers" in text for text in terminal.pieces())
    finally:
        held.set()
        terminal.close()
    assert terminal.process.returncode == 0
    *_, shown = CONTROL.sub("", terminal.text).partition("[0:3]")
    lines = [line.rstrip() for line in shown.splitlines()[1:] if line.strip()]
    assert " ".join(" ".join(lines).split()) == TEXT
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40
