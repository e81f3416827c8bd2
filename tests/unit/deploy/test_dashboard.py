"""The Grafana board and the alerts: sound, explained, and of one mind."""

import re

from support.board import BOARD, DOCKER, ROOT, RULES, load

GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in GUIDE, "not in docs/deployment.md"


def test_the_board_is_sound() -> None:
    numbers = [panel["id"] for panel in BOARD["panels"]]
    places = [tuple(panel["gridPos"].values()) for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(set(places)) == len(numbers)
    datasource = load(DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    assert datasource["datasources"][0]["type"] == BOARD["templating"]["list"][0]["query"]


def test_every_panel_says_what_it_shows() -> None:
    for panel in BOARD["panels"]:
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_the_first_row_is_what_matters_most() -> None:
    kinds = [panel["type"] for panel in BOARD["panels"]]
    second_row = kinds.index("row", 1)
    first = BOARD["panels"][1:second_row]
    assert [panel["title"] for panel in first] == [
        *("Serving", "Answered per second", "Refused share"),
        *("Latency of answers, p99", "Wait for Triton, p95", "Saturation"),
    ]
    assert all(panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in first)


def test_thresholds_are_those_of_the_alerts() -> None:
    """A number behind "alert ... fires above" is in that alert's expression."""
    expressions = {rule["alert"]: rule["expr"] for rule in RULES}
    found = 0
    for panel in BOARD["panels"]:
        said = re.search(r"alert (\w+) fires (?:above|when more than) ([\d.]+)( %)?", str(panel))
        if said:
            limit = float(said[2]) / (100 if said[3] else 1)
            assert f"> {limit:g}" in expressions[said[1]]
            found += 1
    assert found == 5
