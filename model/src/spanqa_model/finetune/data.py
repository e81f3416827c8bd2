"""The questions of a run, from SQuAD files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from spanqa.squad import Question, SquadFormatError, read_questions, read_training_questions
from spanqa_model.errors import DataError


def training_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read questions to train on, and check that each answer lies at its `answer_start`.

    Args:
        path: a SQuAD file, compressed if its name ends in .xz or .gz.
        limit: the number of questions to use, evenly spread over the file.

    Raises:
        DataError: the file cannot be read or is not SQuAD; the message says where.
    """
    return spread(read(read_training_questions, path), limit)


def evaluation_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read questions to evaluate on, and check that ids are unique. Positions are not needed.

    Raises:
        DataError: as for `training_questions`.
    """
    return spread(read(read_questions, path), limit)


def read(reader: Callable[[Path], list[Question]], path: Path) -> list[Question]:
    try:
        return reader(path)
    except SquadFormatError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def spread(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """`limit` questions, evenly spread, or all if there are fewer."""
    count = min(limit or len(questions), len(questions))
    return [questions[i * len(questions) // count] for i in range(count)]
