"""The proto compiles by itself, and what would break its callers is noticed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[3]
PROTO = "spanqa/v1/question_answering.proto"
BUF = Path(sys.executable).parent / "buf"
RELEASES = (ROOT / "protos" / "releases").glob("*.binpb")
RELEASE = max(RELEASES, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy of the directory, and nothing else."""
    copy = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", copy)
    return copy


def buf(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_protoc_needs_no_other_file(protos: Path, tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-Iprotos"),
            *(f"--python_out={tmp_path}", f"--descriptor_set_out={tmp_path / 'set'}", PROTO),
        ],
        cwd=protos.parent,
        check=True,
        timeout=60,
    )
    [made] = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    assert [service.name for service in made.service] == ["QuestionAnsweringService"]


@pytest.mark.parametrize("command", [("lint",), ("build",)])
def test_buf_needs_no_other_file(protos: Path, command: tuple[str, ...]) -> None:
    ended = buf(*command, cwd=protos)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("bool allow_overlap = 9;", "bool allow_overlap = 11;"),
        ("int32 start = 2;", "int64 start = 2;"),
        ("string text = 1;", "string words = 1;"),
        ("OFFSET_ENCODING_UTF16 = 2;", "OFFSET_ENCODING_UTF16 = 4;"),
        ('option java_package = "com.spanqa.v1";', 'option java_package = "org.spanqa.v1";'),
        ("  rpc GetModel(GetModelRequest) returns (GetModelResponse);\n", ""),
    ],
)
def test_what_breaks_callers_fails_the_check(protos: Path, was: str, becomes: str) -> None:
    against = ("breaking", "--against", str(RELEASE))
    assert buf(*against, cwd=protos).returncode == 0
    file = protos / PROTO
    source = file.read_text()
    assert was in source
    file.write_text(source.replace(was, becomes, 1))
    ended = buf(*against, cwd=protos)
    assert ended.returncode != 0
    assert re.search(r"question_answering\.proto:\d+:\d+:", ended.stdout)
