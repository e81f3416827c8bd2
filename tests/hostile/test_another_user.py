"""Another user of the machine learns nothing of a request while it is under way."""

import os
import pwd
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import time

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from spanqa_server.versions.repository import load_version
from support.processes import RunningServer, running_server, stopped, wait_until_serving

SPY = Path(__file__).with_name("spy.py")
# Another in each process: tests that run beside this one have files that everyone may read, too.
CONTEXT = f"The heir hid crown {secrets.randbits(64)} in Ljubljana, under a willow."
REQUEST = pb.AnswerRequest(question="Where did the heir hide the crown?", context=CONTEXT)
LOOKS = 3
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def spy(since: float, processes: list[psutil.Process], *needles: bytes) -> set[str]:
    """What another user finds."""
    uid = str(pwd.getpwnam("nobody").pw_uid)
    pids = ",".join(str(process.pid) for process in processes)
    command = [sys.executable, "-I", str(SPY), uid, str(since), pids]
    ended = subprocess.run(
        [*command, *(needle.hex() for needle in needles)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(ended.stdout.splitlines())


@pytest.fixture
def in_the_open() -> Iterator[Path]:
    """A file that everyone may read, to see that the spy sees."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        os.chmod(file.name, 0o644)
        yield Path(file.name)


@ONLY_ROOT
@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_of_a_request_is_found(
    model_repository: Path,
    tmp_path: Path,
    in_the_open: Path,
    workers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    since = time() - 1
    token, password = secrets.token_hex(), secrets.token_hex()
    (tmp_path / "tokens").write_text(token)
    (tmp_path / "tokens").chmod(0o600)
    tokenizer = load_version(model_repository / "bert_qa" / "1").tokenizer
    ids = tokenizer.encode(CONTEXT).ids.tobytes()
    monkeypatch.setenv("OTHER_SECRET", password)
    flags = ("--workers", workers, "--tokens-file", str(tmp_path / "tokens"))
    with (
        running_server(model_repository, tmp_path / "log", *flags) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        assert stub.Answer(REQUEST, timeout=60, metadata=metadata).answers
        # Triton gives up a model that is stopped for long: then what was seen may be too little.
        for _ in range(LOOKS):
            wait_until_serving(server)
            with stopped(model_of(server)):
                pending = stub.Answer.future(REQUEST, timeout=120, metadata=metadata)
                server.wait_for_metrics(lambda now: now["spanqa_triton_tokens_in_flight"] > 0)
                in_the_open.write_bytes(b"..." + ids)
                processes = [psutil.Process(server.process.pid), *server.children()]
                needles = CONTEXT.encode(), ids, token.encode(), password.encode()
                found = spy(since, processes, *needles)
                environments = [one.environ() for one in processes if "triton" in one.name()]
            if pending.exception(60) is None:
                break
        assert pending.result().answers
        page = server.metrics_page()
    assert found == {f"found in {in_the_open}"}
    assert "Ljubljana" not in page
    assert len(environments) == 2
    assert password not in str(environments)
    assert not [name for one in environments for name in one if name.startswith("SPANQA_")]


def model_of(server: RunningServer) -> psutil.Process:
    """The process that computes; the tokens of a call wait for it in shared memory."""
    return next(one for one in server.children() if one.name().startswith("triton_python"))
