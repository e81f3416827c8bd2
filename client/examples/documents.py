"""One question, many texts: the answers of all are ranked together.

Usage: python documents.py [HOST:PORT]
"""

import sys
from pathlib import Path

import spanqa

TEXT = Path(__file__).with_name("lighthouse.txt").read_text(encoding="utf-8")
QUESTION = "Which ship struck West Calf Island?"


def main(target: str) -> None:
    """Search every paragraph of the text and print where the best answers are."""
    paragraphs = {
        f"paragraph {number}": paragraph for number, paragraph in enumerate(TEXT.split("\n\n"))
    }
    with spanqa.Client(target) as client:
        result = client.answer_from_documents(QUESTION, paragraphs, top_k=3)
    for answer in result.answers:
        name = result.document_id(answer)
        assert paragraphs[name][answer.start : answer.end] == answer.text
        print(f"{answer.probability:.3f}  {answer.text}  ({name})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
