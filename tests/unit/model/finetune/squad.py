"""Made-up questions in SQuAD's format, which a tiny model can learn: find the number."""

import json
import random
import string
from pathlib import Path
from typing import Any

Document = dict[str, Any]


def entry(number: int, context: str, answer: str | None) -> Document:
    answers = [] if answer is None else [{"text": answer, "answer_start": context.index(answer)}]
    return {"id": f"q{number}", "question": "who wrote it", "answers": answers}


def document(count: int, *, seed: int = 0, unanswerable_every: int = 0) -> Document:
    """`count` questions about as many contexts; every so many without an answer (as SQuAD 2)."""
    generator = random.Random(seed)
    paragraphs = []
    for number in range(count):
        words = [generator.choice(string.ascii_lowercase) for _ in range(generator.randint(8, 20))]
        answer = None
        if not unanswerable_every or number % unanswerable_every:
            answer = str(generator.randint(10, 99))
            words.insert(generator.randint(0, len(words)), answer)
        context = " ".join(words)
        question = entry(number, context, answer)
        if unanswerable_every:
            question["is_impossible"] = answer is None
        paragraphs.append({"context": context, "qas": [question]})
    return {
        "version": "v2.0" if unanswerable_every else "1.1",
        "data": [{"paragraphs": paragraphs}],
    }


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
