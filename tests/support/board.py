"""What the board and the alerts ask Prometheus for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DECLARED = re.compile(r"\b(Counter|Gauge|Histogram)\(\s*\"(\w+)\"")
SELECTOR = re.compile(r"\b(?:spanqa|nv)_\w+(?:\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


BOARD = json.loads((DOCKER / "grafana" / "dashboards" / "spanqa.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in load(DOCKER / "prometheus" / "alerts.yaml")["groups"]
    for rule in group["rules"]
]


def declared() -> dict[str, str]:
    """The server's own metrics and their kinds, by the names that the code gives them."""
    sources = sorted((ROOT / "server" / "src").rglob("*.py"))
    found = [one for path in sources for one in DECLARED.findall(path.read_text(encoding="utf-8"))]
    return {name.removesuffix("_total"): kind for kind, name in found}


def board_expressions() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        yield variable["name"], variable.get("definition", "")


def selectors() -> list[str]:
    """The series that they name: name{label="value"}."""
    found = {one for _, expression in board_expressions() for one in SELECTOR.findall(expression)}
    return sorted(found)


def select(page: str, selector: str) -> dict[str, float]:
    """The samples of a page of metrics that a selector means, by their labels."""
    name = selector.partition("{")[0]
    matchers = MATCHER.findall(selector)
    return {
        json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and all(matches(sample.labels, *matcher) for matcher in matchers)
    }


def matches(labels: dict[str, str], label: str, operator: str, wanted: str) -> bool:
    """As Prometheus would; what Grafana fills in means all."""
    if wanted.startswith("$"):
        return True
    value = labels.get(label, "")
    if operator == "=~":
        return re.fullmatch(wanted, value) is not None
    return (value == wanted) == (operator == "=")
