"""Reads files of questions, to ask them or to train on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from spanqa.squad.entries import Entry, EntryReader
from spanqa.squad.files import STANDARD_INPUT, values_of
from spanqa.squad.layouts import raw_questions
from spanqa.squad.positions import Bad, place_answer
from spanqa.squad.questions import REMEDY, Dataset, Question, SquadFormatError

MOST_BAD = 0.01
"""The share of questions that cannot be trained on above which a file is refused."""
_SHOWN = 5


def read_questions(path: Path) -> list[Question]:
    """The questions of one file, as ``read_dataset`` reads them."""
    return read_dataset([path]).questions


def read_training_questions(path: Path) -> list[Question]:
    """The questions of one file, as ``read_training_dataset`` reads them."""
    return read_training_dataset([path]).questions


def read_dataset(paths: Sequence[Path]) -> Dataset:
    """Reads questions to ask them, and to score the answers where there are gold answers.

    Positions of answers are not read. A question without an id gets one.

    Args:
        paths: The files, read one after another; ``-`` is standard input.

    Raises:
        OSError: A file cannot be read.
        SquadFormatError: A file cannot be read as questions, or an id occurs more than once.
    """
    reader = EntryReader()
    questions = [
        _question(entry, number, tuple(gold.text for gold in entry.golds))
        for number, entry in enumerate(_entries(paths, reader), start=1)
    ]
    first, count = Counter(question.id for question in questions).most_common(1)[0]
    if count > 1:
        raise SquadFormatError(
            f"{_names(paths)}: holds the id {first!r} more than once; give each question its own"
        )
    if not any(question.answers or question.is_impossible for question in questions):
        # Nobody has labelled this file: all answers are empty.
        questions = [replace(question, labelled=False) for question in questions]
    return Dataset(questions, tuple(reader.notices))


def read_training_dataset(paths: Sequence[Path], *, skip_bad: bool = False) -> Dataset:
    """Reads questions to train on them; the first answer of each lies at its ``answer_start``.

    A position that is wrong is corrected if the text occurs once, or once nearby. A question whose
    answers are blank, misplaced or missing is skipped. An id may occur repeatedly.

    Args:
        paths: The files, read one after another.
        skip_bad: Skip such questions even if they are many.

    Raises:
        OSError: A file cannot be read.
        SquadFormatError: A file cannot be read as questions, too many have to be skipped, or all.
    """
    reader = EntryReader()
    questions, bad, repaired = [], [], 0
    for number, entry in enumerate(_entries(paths, reader), start=1):
        found = place_answer(entry)
        if isinstance(found, Bad):
            bad.append(found.reason)
        elif found is None:
            questions.append(_question(entry, number, ()))
        else:
            others = (gold.text for gold in entry.golds if gold.text.strip() != found.text.strip())
            questions.append(_question(entry, number, (found.text, *others), found.start))
            repaired += found.repaired
    notices = list(reader.notices)
    if repaired:
        notices.append(f"{repaired:,} answers were moved to where their text is")
    if bad:
        notices.append(_check_bad(bad, len(bad) + len(questions), skip_bad))
    return Dataset(questions, tuple(notices))


def _check_bad(bad: Sequence[str], total: int, skip_bad: bool) -> str:
    """The notice about skipped questions; raises if they are too many."""
    examples = "; ".join(bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    count = f"{len(bad):,} of {total:,} questions"
    if len(bad) == total:
        raise SquadFormatError(
            f"{examples}{more}: {count} cannot be trained on; correct the answers"
        )
    if not skip_bad and len(bad) > MOST_BAD * total:
        raise SquadFormatError(
            f"{examples}{more}: {count} cannot be trained on, more than {MOST_BAD:.0%}; "
            "correct the answers, or leave these questions out with --skip-bad"
        )
    return f"{count} were skipped: {examples}{more}"


def _entries(paths: Sequence[Path], reader: EntryReader) -> Iterator[Entry]:
    for path in paths:
        empty = True
        name = "standard input" if path == STANDARD_INPUT else str(path)
        try:
            for value, place in values_of(path):
                for raw in raw_questions(value, place):
                    empty = False
                    yield reader.entry(raw)
        except RecursionError:
            raise SquadFormatError(f"{name}: is nested too deeply; {REMEDY}") from None
        if empty:
            raise SquadFormatError(f"{name}: holds no questions; {REMEDY}")


def _question(
    entry: Entry, number: int, answers: tuple[str, ...], start: int | None = None
) -> Question:
    return Question(
        id=f"question-{number}" if entry.id is None else entry.id,
        question=entry.question,
        context=entry.context,
        answers=answers,
        answer_start=start,
        place=entry.place,
        is_impossible=entry.is_impossible,
        labelled=entry.labelled,
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join("standard input" if path == STANDARD_INPUT else str(path) for path in paths)
