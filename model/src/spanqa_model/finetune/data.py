"""Reads questions from SQuAD files, versions 1.1 and 2.0."""

import gzip
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from spanqa_model.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
T = TypeVar("T")
KINDS: dict[type, str] = {list: "a list", str: "a string", int: "an integer", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its context.

    `answers` are the gold answers; none means that the context does not answer the question.
    `answer_start` is the start of the first one in the context, in code points, or None if the file
    lacks it. `place` is the file and the path in it, a prefix for error messages.
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    answer_start: int | None
    place: str

    @property
    def answerable(self) -> bool:
        return bool(self.answers)


def training_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read questions to train on, and check that each answer lies at its `answer_start`.

    Args:
        path: a SQuAD file, compressed if its name ends in .xz or .gz.
        limit: the number of questions to use, evenly spread over the file.

    Raises:
        DataError: the file cannot be read or is not SQuAD; the message says where.
    """
    questions = read_squad(path)
    for question in questions:
        check_position(question)
    return spread(questions, limit)


def evaluation_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read questions to evaluate on, and check that ids are unique. Positions are not needed.

    Raises:
        DataError: as for `training_questions`.
    """
    questions = read_squad(path)
    first, count = Counter(question.id for question in questions).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: holds the id {first!r} more than once")
    return spread(questions, limit)


def spread(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """`limit` questions, evenly spread, or all if there are fewer."""
    count = min(limit or len(questions), len(questions))
    return [questions[i * len(questions) // count] for i in range(count)]


def check_position(question: Question) -> None:
    if not question.answers:
        return
    begin, answer = question.answer_start, question.answers[0]
    if begin is None:
        raise DataError(f"{question.place}answers[0].answer_start is missing")
    if not answer.strip():
        raise DataError(f"{question.place}answers[0].text is blank")
    found = question.context[begin : begin + len(answer)] if begin >= 0 else ""
    if found != answer:
        raise DataError(
            f"{question.place}answers[0]: the context has {found!r} at {begin} (answer_start), "
            f"not {answer!r}"
        )


def read_squad(path: Path) -> list[Question]:
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            document = json.loads(file.read())
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: cannot be decompressed ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    questions = list(parse_squad(document, f"{path}: "))
    if not questions:
        raise DataError(f"{path}: holds no questions")
    return questions


def parse_squad(document: object, place: str) -> Iterator[Question]:
    """The questions of a parsed file, in its order; `place` is the prefix of error messages.

    Raises:
        DataError: the document is not SQuAD; the message has the path and the reason.
    """
    for article, in_article in items(document, "data", place):
        for paragraph, in_paragraph in items(article, "paragraphs", in_article):
            context = member(paragraph, "context", str, in_paragraph)
            for entry, in_entry in items(paragraph, "qas", in_paragraph):
                yield parse_question(entry, context, in_entry)


def parse_question(entry: object, context: str, place: str) -> Question:
    golds = list(items(entry, "answers", place))
    texts = tuple(member(gold, "text", str, in_gold) for gold, in_gold in golds)
    starts = [
        member(gold, "answer_start", int, in_gold) if has(gold, "answer_start") else None
        for gold, in_gold in golds
    ]
    if has(entry, "is_impossible"):
        impossible = member(entry, "is_impossible", bool, place)
        if impossible == bool(texts):
            count = "is not empty" if texts else "is empty"
            said = str(impossible).lower()
            raise DataError(f"{place}answers {count}, but is_impossible is {said}")
    return Question(
        id=member(entry, "id", str, place),
        question=member(entry, "question", str, place),
        context=context,
        answers=texts,
        answer_start=starts[0] if starts else None,
        place=place,
    )


def items(parent: object, key: str, place: str) -> Iterator[tuple[object, str]]:
    for index, item in enumerate(member(parent, key, list, place)):
        yield item, f"{place}{key}[{index}]."


def has(parent: object, key: str) -> bool:
    return isinstance(parent, dict) and key in parent


def member(parent: object, key: str, kind: type[T], place: str) -> T:
    if not has(parent, key):
        raise DataError(f"{place}{key} is missing: not SQuAD 1.1 or 2.0")
    value = cast(dict[str, object], parent)[key]
    if type(value) is not kind:
        raise DataError(f"{place}{key} is not {KINDS[kind]}")
    return value
