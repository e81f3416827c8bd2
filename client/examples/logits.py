"""The model's raw results, decoded here: the best span of at most 30 tokens.

Usage: python logits.py [HOST:PORT]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import spanqa

TEXT = Path(__file__).with_name("lighthouse.txt").read_text(encoding="utf-8")
QUESTION = "Who designed the first lighthouse?"
LONGEST = 30
CONTEXT = 2  # in Window.sequence_ids


def spans(window: spanqa.Window) -> Iterator[tuple[float, int, int]]:
    """Score, start and end in the text of every span of a window."""
    context = [i for i, sequence in enumerate(window.sequence_ids) if sequence == CONTEXT]
    for first in context:
        for last in range(first, min(first + LONGEST, context[-1] + 1)):
            score = window.start_logits[first] + window.end_logits[last]
            yield score, window.starts[first], window.ends[last]


def main(target: str) -> None:
    """Decode the logits and print the span beside the one that the server finds."""
    with spanqa.Client(target) as client:
        result = client.compute_logits(QUESTION, TEXT)
        best = client.answer(QUESTION, TEXT).best
    score, start, end = max(span for window in result.windows for span in spans(window))
    print(f"{len(result.windows)} windows; decoded here: {TEXT[start:end]}  (score {score:.2f})")
    print(f"decoded by the server: {best.text if best else 'nothing'}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
