"""Reads questions with their texts and answers, and scores answers as the official scripts do.

``spanqa evaluate`` and ``spanqa-model finetune`` both use this package, so that they accept the
same files and give the same scores. It needs the standard library only; Parquet needs pyarrow.

Files are SQuAD v1.1 and v2 as many tools write them, rows with a question, a context and answers as
JSON, JSON lines, CSV or Parquet, and MRQA. The content decides how a file is read, not its name.
"""

from spanqa.squad.questions import Dataset, Question, SquadFormatError
from spanqa.squad.reader import (
    read_dataset,
    read_questions,
    read_training_dataset,
    read_training_questions,
)
from spanqa.squad.scoring import (
    Accuracy,
    Scores,
    Unit,
    exact_match,
    f1_score,
    normalize_answer,
    score,
    score_all,
    unit_for,
)
from spanqa.squad.thresholds import BestThresholds, best_thresholds

__all__ = [
    "Accuracy",
    "BestThresholds",
    "Dataset",
    "Question",
    "Scores",
    "SquadFormatError",
    "Unit",
    "best_thresholds",
    "exact_match",
    "f1_score",
    "normalize_answer",
    "read_dataset",
    "read_questions",
    "read_training_dataset",
    "read_training_questions",
    "score",
    "score_all",
    "unit_for",
]
