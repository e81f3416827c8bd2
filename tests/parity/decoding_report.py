"""Print how our answers compare to those of two references.

A part of `make parity`; alone: `.venv/bin/python tests/parity/decoding_report.py`.

All SQuAD v1.1 dev questions at hand, with the embedded model in float32: the fine-tuning recipe's
post-processing on the same logits, and the question-answering pipeline of transformers. Takes
some ten minutes on two idle cores; `--questions N` takes N of them, evenly spread.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import TypeVar

import transformers
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.squad import SQUAD_DEV, how_to_get
from parity.decoding import (
    Answer,
    Case,
    ComparedPipeline,
    agreement,
    cases,
    compare_pipeline,
    compare_recipe,
    scores,
)
from parity.pipeline_reference import pipeline_answers, reference_pipeline
from parity.reference import embedded_reference, exported_model
from spanqa.squad import Question, read_questions
from spanqa_model.checkpoints.presets import PRESETS

LINES_WITHOUT_TERMINAL = 10
T = TypeVar("T")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, help="how many, evenly spread (default: all)")
    count = parser.parse_args().questions
    if not SQUAD_DEV.is_file():
        sys.exit(how_to_get(SQUAD_DEV))
    everything = read_questions(SQUAD_DEV)
    if count is not None and not 0 < count <= len(everything):
        sys.exit(f"report: --questions {count} is not from 1 to {len(everything)}")
    count = count or len(everything)
    questions = [everything[i * len(everything) // count] for i in range(count)]
    transformers.logging.set_verbosity_error()  # it would suggest to train the new head
    asked = ask_exported_model(questions)
    recipe = [compare_recipe(case) for case in asked]
    pipeline = ask_pipeline(questions, asked)
    followed = sum(pair.followed for pair in pipeline)
    golds = [question.answers for question in questions]
    several = [len(case.prepared.plan) > 1 for case in asked]
    print(f"{count:,} SQuAD v1.1 dev questions, {sum(several):,} of them in several windows;")
    print("embedded model, float32; scores of all, and of those in several windows")
    print_scores("ours", [pair.ours for pair in recipe], golds, several)
    for name, compared in (
        ("recipe, from the same logits", recipe),
        ("pipeline, align_to_words=False", [pair.tokens for pair in pipeline]),
        ("pipeline, align_to_words=True", [pair.words for pair in pipeline]),
    ):
        print_scores(name, [pair.theirs for pair in compared], golds, several)
        print(textwrap.indent(str(agreement(compared)), "    "))
    print(
        f"the pipeline's steps on our logits give its answers for {followed:,} of "
        f"{count:,}, but for rounding (a thousandth of the score)"
    )


def print_scores(
    name: str, answers: list[Answer], golds: list[tuple[str, ...]], several: list[bool]
) -> None:
    parts = [scores(answers, golds)]
    if any(several):
        parts.append(scores(compress(answers, several), list(compress(golds, several))))
    print(f"{name}: {'; '.join(map(str, parts))}")


def ask_exported_model(questions: list[Question]) -> list[Case]:
    """All logits, in float32."""
    with exported_model(PRESETS["minilm-squad"], "float32") as (module, version):
        pairs = [(question.question, question.context) for question in questions]
        asked = cases(module, version, pairs)
        return list(tracked("exported model", asked, len(questions)))


def ask_pipeline(questions: list[Question], asked: list[Case]) -> list[ComparedPipeline]:
    """The pipeline's answers beside ours."""
    pipeline = reference_pipeline(embedded_reference())
    pairs = ((question.question, question.context) for question in questions)
    answers = tracked("pipeline", pipeline_answers(pipeline, pairs), len(questions))
    return [
        compare_pipeline(case, pipeline.tokenizer, both)
        for case, both in zip(asked, answers, strict=True)
    ]


def tracked(description: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Show progress: a bar on a terminal, a few lines elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        shown = progress.track(items, total=total, description=description)
        for done, item in enumerate(shown, start=1):
            yield item
            if not console.is_terminal and done % max(1, total // LINES_WITHOUT_TERMINAL) == 0:
                console.print(f"{description}: {done} of {total} questions")


if __name__ == "__main__":
    main()
