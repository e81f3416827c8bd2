"""What the CPU computes natively, as Linux says."""

from pathlib import Path

import pytest

from spanqa_server.triton.embedded.cpu import this_cpu

FLAGS = "processor\t: 0\nflags\t\t: fpu {}sse2\n\nprocessor\t: 1\nflags\t\t: fpu\n"


@pytest.mark.parametrize(
    ("content", "dtypes"),
    [
        (FLAGS.format(""), {"float32"}),
        (FLAGS.format("avx512_bf16 "), {"float32", "bfloat16"}),
        (FLAGS.format("amx_bf16 "), {"float32", "bfloat16"}),
        (FLAGS.format("avx512_vnni "), {"float32", "int8"}),
        (FLAGS.format("avx512_bf16 avx_vnni "), {"float32", "bfloat16", "int8"}),
        (FLAGS.format("amx_bf16 amx_int8 "), {"float32", "bfloat16", "int8"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", None),
        (None, None),
    ],
)
def test_the_flags_of_the_first_processor_count(
    tmp_path: Path, content: str | None, dtypes: set[str] | None
) -> None:
    file = tmp_path / "cpuinfo"
    if content is not None:
        file.write_text(content)
    machine = this_cpu(file)
    assert (machine.device, machine.dtypes) == ("cpu", dtypes)
