"""docs/clients.md shows code of the examples as it is."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "clients.md"
SECTIONS = {
    "Go": "go",
    "Java": "java",
    "Node": "node",
    "Connect": "connect",
    "Rust": "rust",
    "C++": "cpp",
    "C# (.NET)": "csharp",
}
SHELL = ("sh", "")


def sections() -> dict[str, str]:
    """The page's parts by their headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def code_lines(text: str) -> list[str]:
    """Lines of all blocks that are not for a shell."""
    blocks = re.findall(r"^```(\S*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for kind, block in blocks if kind not in SHELL for line in block.splitlines()]
    return [line.strip() for line in lines if line.strip()]


def source_lines(directory: str) -> set[str]:
    """Lines of the files of an example that are under version control."""
    listed = subprocess.run(
        ["git", "ls-files", f"clients/{directory}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    files = [ROOT / name for name in listed.stdout.splitlines()]
    return {line.strip() for file in files for line in file.read_text().splitlines()}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_line_of_code_stands_in_the_example(heading: str) -> None:
    shown = code_lines(sections()[heading])
    assert len(shown) >= 8
    assert not [line for line in shown if line not in source_lines(SECTIONS[heading])]


def test_every_example_has_a_section() -> None:
    directories = {path.name for path in (ROOT / "clients").iterdir() if path.is_dir()}
    assert directories == set(SECTIONS.values())
    assert sections().keys() >= SECTIONS.keys()
