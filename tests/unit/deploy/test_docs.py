"""The pages link to what exists, and name settings and files that exist."""

import re
import tomllib
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

from spanqa.cli.connection import connection_of
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GateSettings
from support.board import ROOT, declared

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name / "README.md" for name in ("client", "server", "model")),
]
DISTRIBUTIONS = ("client", "server", "model")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)")
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    """A page without its blocks of code."""
    return CODE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Those that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def links() -> Iterator[tuple[Path, str, str]]:
    for page in PAGES:
        for target, anchor in LINK.findall(text_of(page)):
            yield page, target, anchor


def test_every_link_leads_somewhere() -> None:
    found = [*links()]
    assert found
    broken = []
    for page, target, anchor in found:
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{page.name}: {target}#{anchor}")
    assert not broken


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(page.parent / target).resolve() for page, target, _ in links() if page == index}
    assert {page for page in PAGES if page.parent.name == "docs"} - {index} <= linked


SETTINGS = {*Settings.model_fields, *GateSettings.model_fields}
CONNECTION = signature(connection_of).parameters
PATHS = re.compile(r"`((?:client|server|model|docker|docs|protos|tests)/[\w./-]+)`")


@pytest.mark.parametrize(
    "path", ["README.md", "server/README.md", "SECURITY.md", "docs/operations.md"]
)
def test_every_setting_that_it_names_exists(path: str) -> None:
    page = text_of(ROOT / path)
    flags = {f"--{name.replace('_', '-')}" for name in (*SETTINGS, *CONNECTION)}
    named = set(re.findall(r"`(--[a-z0-9-]+)", page))
    assert named
    assert named <= flags | {"--some-name", "--profile"}, "--profile is Docker's"
    variables = {name.lower() for name in re.findall(r"SPANQA_([A-Z_]+)", page)}
    assert variables <= SETTINGS | {"some_name"}


@pytest.mark.parametrize("path", ["CONTRIBUTING.md", "docs/operations.md"])
def test_every_path_that_it_names_exists(path: str) -> None:
    paths = PATHS.findall(text_of(ROOT / path))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_operations_has_every_metric_and_no_others() -> None:
    ours = {f"{name}_total" if kind == "Counter" else name for name, kind in declared().items()}
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(spanqa_\w+)", page)) - {"spanqa_server"} == ours


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_distribution_has_its_licence_readme_and_metadata(name: str) -> None:
    directory = ROOT / name
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [licence] = project["license-files"]
    assert (directory / licence).read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (directory / project["readme"]).is_file()
    assert list((directory / "src").glob("*/py.typed"))
    assert project["license"] == "Apache-2.0"
    assert project["authors"] == [{"name": "The SpanQA authors"}]
    for field in ("description", "keywords", "classifiers", "requires-python"):
        assert project[field]
