"""Independent questions in one call, with an error for the one that cannot be answered.

Usage: python batch.py [HOST:PORT]
"""

import sys

import spanqa

RADIUM = "Marie Curie and her husband Pierre discovered radium in Paris in 1898."
PROGRAM = "Ada Lovelace wrote the first program in 1843, for a machine that was never built."

PAIRS = [
    spanqa.Pair("Who discovered radium?", RADIUM),
    spanqa.Pair("When was the first program written?", PROGRAM),
    spanqa.Pair("Where was radium discovered?", RADIUM, spanqa.Options(top_k=2)),
    spanqa.Pair("Who wrote the first program?", ""),  # no text: this one fails, the others do not
]


def main(target: str) -> None:
    """Ask all questions at once and print what became of each."""
    with spanqa.Client(target) as client:
        outcomes = client.answer_batch(PAIRS)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, spanqa.SpanQAError):
            print(f"{number}: failed: {outcome}")
        else:
            print(f"{number}:", *(f"{a.text} ({a.probability:.2f})" for a in outcome.answers))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
