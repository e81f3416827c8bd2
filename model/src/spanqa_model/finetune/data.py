"""The questions of a run, from files in all formats that `spanqa evaluate` reads."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from spanqa.squad import (
    Dataset,
    Question,
    SquadFormatError,
    read_dataset,
    read_training_dataset,
)
from spanqa_model.checkpoints.fetching import sha256_of
from spanqa_model.errors import DataError


def training_data(
    paths: Sequence[Path], limit: int | None = None, *, skip_bad: bool = False
) -> Dataset:
    """Read questions to train on, each with its answer at its `answer_start`.

    Args:
        paths: the files.
        limit: the number of questions to use, evenly spread over the files.
        skip_bad: skip questions without a usable answer, even if they are many.

    Raises:
        DataError: a file cannot be read, or holds too many such questions; the message says where.
    """
    return read(lambda: read_training_dataset(paths, skip_bad=skip_bad), limit)


def evaluation_data(paths: Sequence[Path], limit: int | None = None) -> Dataset:
    """Read questions to evaluate on, and check that ids are unique. Positions are not needed.

    Raises:
        DataError: as for `training_data`, or no question has a label.
    """
    dataset = read(lambda: read_dataset(paths), limit)
    if not any(question.labelled for question in dataset.questions):
        names = ", ".join(map(str, paths))
        raise DataError(f"{names}: holds no answers to score by; give a labelled file")
    return dataset


def read(reader: Callable[[], Dataset], limit: int | None) -> Dataset:
    try:
        dataset = reader()
    except SquadFormatError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror or error}") from None
    return replace(dataset, questions=spread(dataset.questions, limit))


def spread(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """`limit` questions, evenly spread, or all if there are fewer."""
    count = min(limit or len(questions), len(questions))
    return [questions[i * len(questions) // count] for i in range(count)]


def sha256_of_all(paths: Sequence[Path]) -> str:
    """The sha256 of a file, or of those of several files, in hexadecimal."""
    sums = [sha256_of(path) for path in paths]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
