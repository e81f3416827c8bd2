"""What a file holds: questions, and what a reader noticed."""

from __future__ import annotations

from dataclasses import dataclass, field

REMEDY = (
    "give a SQuAD v1.1 or v2 file, or rows with question, context and answers"
    " (JSON, JSON lines, CSV or Parquet)"
)


class SquadFormatError(ValueError):
    """A file holds no questions that can be read; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a file."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    """The gold answers; empty if the context has no answer, or if the question is not labelled."""
    answer_start: int | None = None
    """The start of the first answer in the context, in code points; only read for training."""
    place: str = field(default="", compare=False)
    """The file and the place in it, as a prefix for error messages."""
    is_impossible: bool | None = None
    """The field of SQuAD v2 that says whether the context has no answer; None if it is missing."""
    labelled: bool = True
    """Whether the file says what the answer is, or that there is none."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The questions of one or more files."""

    questions: list[Question]
    notices: tuple[str, ...] = ()
    """What was repaired, skipped or read in an unusual way; one sentence each."""
