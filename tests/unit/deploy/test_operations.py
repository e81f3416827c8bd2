"""docs/operations.md agrees with the code."""

import re

from spanqa_server.settings import Settings
from support.board import ROOT, declared

GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_it_has_every_metric_and_no_others() -> None:
    ours = {f"{name}_total" if kind == "Counter" else name for name, kind in declared().items()}
    named = set(re.findall(r"`(spanqa_\w+)", GUIDE)) - {"spanqa_server"}
    assert named == ours


def test_every_setting_that_it_names_exists() -> None:
    flags = set(re.findall(r"`--([a-z-]+)", GUIDE))
    assert flags
    assert {flag.replace("-", "_") for flag in flags} <= {*Settings.model_fields}
    variables = set(re.findall(r"SPANQA_([A-Z_]+)", GUIDE))
    assert {name.lower() for name in variables} <= {*Settings.model_fields}


def test_every_file_that_it_names_is_there() -> None:
    for path in re.findall(r"`((?:docker|tests)/[\w./-]+)`", GUIDE):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
