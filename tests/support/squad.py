"""A SQuAD v1.1 file for tests that only need some questions."""

import json
from pathlib import Path

CITIES = ("Warsaw", "Porto", "Turku", "Graz", "Brno", "Split")


def write_squad(path: Path, *more: tuple[str, str]) -> Path:
    """A question about each city, and pairs of a question and a context of the test's own."""
    pairs = [(f"Where was {city[0]}. born?", f"{city[0]}. was born in {city}.") for city in CITIES]
    paragraphs = [
        {
            "context": context,
            "qas": [{"id": str(at), "question": asked, "answers": [{"text": context.split()[-1]}]}],
        }
        for at, (asked, context) in enumerate([*pairs, *more])
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    return path
