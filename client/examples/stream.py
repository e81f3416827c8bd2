"""One question about each paragraph of a file, over one call that may go on for hours.

Usage: python stream.py [HOST:PORT]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import spanqa

TEXT = Path(__file__).with_name("lighthouse.txt")
QUESTION = "When did it happen?"


def main(target: str) -> None:
    """Print the answers as they become ready; only pairs under way are kept."""
    under_way: dict[int, str] = {}

    def pairs() -> Iterator[spanqa.Pair]:
        # Read line by line while answers come in, and only as fast as the server takes them.
        with TEXT.open(encoding="utf-8") as lines:
            for index, paragraph in enumerate(filter(str.strip, lines)):
                under_way[index] = paragraph
                yield spanqa.Pair(QUESTION, paragraph)

    with spanqa.Client(target) as client:
        for item in client.answer_stream(pairs()):
            paragraph = under_way.pop(item.index)
            if isinstance(item.outcome, spanqa.SpanQAError):
                print(f"{item.index}: failed: {item.outcome}")
            elif item.outcome.best is not None:
                print(f"{item.index}: {item.outcome.best.text}  <- {paragraph[:40].strip()}...")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
