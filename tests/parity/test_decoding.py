"""Our answers against the recipe's and the transformers pipeline's: equal, or explained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers.pipelines.question_answering import QuestionAnsweringPipeline

from benchmarks.common.squad import SQUAD_DEV
from parity.conftest import require
from parity.decoding import (
    Case,
    ComparedPipeline,
    agreement,
    cases,
    compare_pipeline,
    compare_recipe,
    scores,
)
from parity.explain import PipelineReason, RecipeReason
from parity.pipeline_reference import (
    ask,
    pipeline_answers,
    read_answer,
    reference_pipeline,
)
from parity.reference import (
    Pair,
    embedded_reference,
    exported_model,
    squad_pairs,
)
from parity.texts import generated, pairs
from spanqa.squad import read_questions
from spanqa_model.checkpoints.presets import PRESETS

Say = Callable[[str], None]
LONGEST = 12
MARKED = [
    ("Where was she born?", f"She was born in {town}, lived in Cork and died in 1912.")
    for town in ("Malmo\u0308", "Nha\u0302\u0301 Be\u0300", "Stre\u0301\u030c")
]
# What the whole dev set has to reach: share of equal answers, and points of EM and F1.
LEAST_EQUAL = 0.999
MOST_POINTS = 0.05


class Exported(NamedTuple):
    module: torch.jit.ScriptModule
    version: Path


@pytest.fixture(scope="module")
def exported() -> Iterator[Exported]:
    with exported_model(PRESETS["minilm-squad"], "float32") as model:
        yield Exported(*model)


@pytest.fixture(scope="module")
def pipeline() -> QuestionAnsweringPipeline:
    return reference_pipeline(embedded_reference())


def made_up() -> list[Pair]:
    """Texts like articles, and texts of many scripts, in one to several windows."""
    return (
        pairs()
        + MARKED
        + [(generated(seed + 100, 10), generated(seed, 20 + 30 * seed)) for seed in range(12)]
    )


def run(exported: Exported, questions: list[Pair]) -> list[Case]:
    module, version = exported
    return list(cases(module, version, questions))


def compare(
    asked: list[Case], questions: list[Pair], pipeline: QuestionAnsweringPipeline
) -> list[ComparedPipeline]:
    answers = pipeline_answers(pipeline, questions)
    return [
        compare_pipeline(case, pipeline.tokenizer, both)
        for case, both in zip(asked, answers, strict=True)
    ]


def assert_like_the_recipe(asked: list[Case], say: Say) -> None:
    counted = agreement([compare_recipe(case) for case in asked])
    say(f"recipe: {counted}")
    assert RecipeReason.OTHER not in counted.reasons


def assert_like_the_pipeline_or_explained(
    asked: list[Case], questions: list[Pair], pipeline: QuestionAnsweringPipeline, say: Say
) -> None:
    compared = compare(asked, questions, pipeline)
    for align, counted in (
        (False, agreement([pair.tokens for pair in compared])),
        (True, agreement([pair.words for pair in compared])),
    ):
        say(f"pipeline, align_to_words={align}: {counted}")
        assert PipelineReason.OTHER not in counted.reasons
        assert counted.equal_places, "a reference that always differs explains nothing"
    assert all(pair.followed for pair in compared)


@pytest.mark.slow
def test_texts_made_up(exported: Exported, pipeline: QuestionAnsweringPipeline, say: Say) -> None:
    questions = made_up()
    asked = run(exported, questions)
    for case in asked:
        tokens = case.prepared.context
        assert (tokens.starts < tokens.ends).all(), "the recipe takes tokens without characters"
    assert_like_the_recipe(asked, say)
    assert_like_the_pipeline_or_explained(asked, questions, pipeline, say)


def squad_questions(count: int) -> list[Pair]:
    """Some with the longest contexts, which take several windows; the others evenly spread."""
    require(SQUAD_DEV)
    longest = sorted(squad_pairs(), key=lambda pair: -len(pair[1]))[:LONGEST]
    return longest + squad_pairs(count - LONGEST)


@pytest.mark.slow
def test_squad_questions_with_the_recipe(exported: Exported, say: Say) -> None:
    assert_like_the_recipe(run(exported, squad_questions(200)), say)


@pytest.mark.slow
def test_squad_questions_with_the_pipeline(
    exported: Exported, pipeline: QuestionAnsweringPipeline, say: Say
) -> None:
    questions = squad_questions(80)
    assert_like_the_pipeline_or_explained(run(exported, questions), questions, pipeline, say)


def test_the_pipeline_we_compare_with_is_the_original(
    pipeline: QuestionAnsweringPipeline,
) -> None:
    original = reference_pipeline(pipeline.model, QuestionAnsweringPipeline)
    questions = made_up()[::4]
    for pair, both in zip(questions, pipeline_answers(pipeline, questions), strict=True):
        assert read_answer(ask(original, pair, align_to_words=False)) == both.tokens
        assert read_answer(ask(original, pair)) == both.words


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_squad_questions_score_as_with_the_recipe(exported: Exported, say: Say) -> None:
    require(SQUAD_DEV)
    questions = read_questions(SQUAD_DEV)
    asked = run(exported, [(question.question, question.context) for question in questions])
    compared = [compare_recipe(case) for case in asked]
    golds = [question.answers for question in questions]
    ours = scores([pair.ours for pair in compared], golds)
    theirs = scores([pair.theirs for pair in compared], golds)
    counted = agreement(compared)
    say(f"{len(questions):,} SQuAD dev questions: ours {ours}; the recipe {theirs}; {counted}")
    assert abs(ours.exact_match - theirs.exact_match) <= MOST_POINTS
    assert abs(ours.f1 - theirs.f1) <= MOST_POINTS
    assert min(counted.equal_places, counted.equal_texts) >= LEAST_EQUAL * len(questions)
    assert RecipeReason.OTHER not in counted.reasons
