"""Why a reference's answer is another one than ours, by computing what would make them equal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from parity.pipeline_reference import PipelineAnswer
from parity.pipeline_steps import CANDIDATES_WITH_WORDS, Scored, follow
from parity.recipe import Candidate, Place, Window, best_pairs

# Scores this close, relative to the better one, can change order where logits are rounded.
CLOSE = 1e-3


MARKS = "marks after its last letter, which are not part of any of the tokenizer's tokens"

# Ends of tokens where marks follow that our tokens hold, and where these end.
Marks = Mapping[int, int]


class RecipeReason(StrEnum):
    """What makes the recipe's answer another one than ours."""

    MARKS = MARKS
    CUT = "the best pair is not among the 20 best starts × 20 best ends of its window"
    TIE = "equal scores, the recipe takes another one first"
    OTHER = "other"


class PipelineReason(StrEnum):
    """What makes the pipeline's answer another one than ours: the first that is enough."""

    MARKS = MARKS
    WINDOW = "the softmax of each window prefers another window"
    WORDS = "borders widened to whole words"
    TEXTS = "probabilities of equal texts summed"
    WORDS_AND_TEXTS = "probabilities of texts summed that are equal once widened to whole words"
    ROUNDING = "probabilities within a thousandth, decided by rounding"
    OTHER = "other"


# By align_to_words: more and more of the pipeline's steps, the last with all of them.
STEPS = {
    False: (PipelineReason.WINDOW, PipelineReason.TEXTS),
    True: (
        PipelineReason.WINDOW,
        PipelineReason.WORDS,
        PipelineReason.TEXTS,
        PipelineReason.WORDS_AND_TEXTS,
    ),
}


@dataclass(frozen=True, slots=True)
class Views:
    """A question's windows, with the tokenizer's offsets of tokens and of their words."""

    context: str
    tokens: list[Window]
    words: list[Window]
    marks: Marks = field(default_factory=dict)

    def follow(self, step: PipelineReason, *, align_to_words: bool) -> list[Scored]:
        """The pipeline's answers, best first, if it went as far as this step."""
        with_words = step in (PipelineReason.WORDS, PipelineReason.WORDS_AND_TEXTS)
        summed = step in (PipelineReason.TEXTS, PipelineReason.WORDS_AND_TEXTS)
        return follow(
            self.words if with_words else self.tokens,
            self.context,
            candidates=CANDIDATES_WITH_WORDS if summed and align_to_words else 1,
            sum_equal_texts=summed,
        )


def explain_recipe(
    windows: list[Window], ours: Candidate, theirs: Candidate | None, marks: Marks
) -> RecipeReason | None:
    """Try all pairs instead of the best 20 × 20. None where the answers are equal."""
    if theirs and theirs.place == ours.place:
        return None
    if theirs and with_marks(theirs.place, marks) == ours.place:
        return RecipeReason.MARKS
    everything = max(len(window.offsets) for window in windows)
    best = best_pairs(windows, n_best=everything)[0]
    if ours.score != best.score:
        return RecipeReason.OTHER
    return RecipeReason.TIE if theirs and theirs.score == best.score else RecipeReason.CUT


def explain_pipeline(
    views: Views, ours: Place, theirs: PipelineAnswer, *, align_to_words: bool
) -> PipelineReason | None:
    """Follow more and more of the pipeline's steps. None where the answers are equal."""
    if theirs.place == ours:
        return None
    if with_marks(theirs.place, views.marks) == ours:
        return PipelineReason.MARKS
    answers: list[Scored] = []
    for step in STEPS[align_to_words]:
        answers = views.follow(step, align_to_words=align_to_words)
        if answers and answers[0].place == theirs.place:
            return step
    return PipelineReason.ROUNDING if close_call(answers, theirs.place) else PipelineReason.OTHER


def with_marks(place: Place, marks: Marks) -> Place:
    """The place as our tokens have it."""
    start, end = place
    return start, marks.get(end, end)


def close_call(answers: list[Scored], place: Place) -> bool:
    """Whether `place` is, but for rounding, as good as the first of the answers."""
    return any(
        answer.place == place and answer.score >= (1 - CLOSE) * answers[0].score
        for answer in answers
    )
