"""Print how far the exported models and their answers are from the references'.

`make parity`, or `.venv/bin/python tests/parity/report.py [logits | answers]`. Logits against those
of transformers: the embedded model on SQuAD dev questions, and BERT-large in its true shape with
random weights. Answers against those of the fine-tuning recipe's post-processing on the same
logits: all SQuAD v1.1 dev questions, in float32. On two idle cores each takes some minutes.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import TypeVar

import transformers
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.squad import SQUAD_DEV, how_to_get
from parity.decoding import Answer, agreement, cases, compare, our_answer, scores
from parity.recipe import Place
from parity.reference import (
    LARGE_WINDOWS,
    Logits,
    Prepared,
    difference,
    embedded_reference,
    exported_model,
    large_reference,
    packed_logits,
    prepare,
    random_windows,
    reference_logits,
    squad_pairs,
    version_tokenizer,
)
from spanqa.squad import read_questions
from spanqa_model.checkpoints.presets import PRESETS
from spanqa_model.packed_bert.devices import Dtype

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
QUESTIONS = 500
EMBEDDED = PRESETS["minilm-squad"]
T = TypeVar("T")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("logits", "answers"), help="default: both")
    what = parser.parse_args().what
    if not SQUAD_DEV.is_file():
        sys.exit(how_to_get(SQUAD_DEV))
    transformers.logging.set_verbosity_error()  # it would suggest to train the new head
    if what != "answers":
        report_embedded()
        report_large()
    if what != "logits":
        report_answers()


def tracked(items: Iterable[T], total: int, description: str) -> list[T]:
    """All of them, with a bar meanwhile."""
    console = Console(stderr=True)
    return list(track(items, description=description, total=total, console=console))


def report_embedded() -> None:
    """Logits on SQuAD questions, and the best answers that change with the dtype."""
    logits: dict[str, list[Logits]] = {}
    questions: list[Prepared] = []
    for dtype in DTYPES:
        with exported_model(EMBEDDED, dtype) as (module, version):
            tokenizer = version_tokenizer(version)
            questions = [prepare(tokenizer, *pair) for pair in squad_pairs(QUESTIONS)]
            computed = packed_logits(module, questions)
            logits[dtype] = tracked(computed, QUESTIONS, f"embedded model, {dtype}")
    computed = reference_logits(embedded_reference(), questions)
    wanted = tracked(computed, QUESTIONS, "embedded model, transformers float32")
    for dtype in DTYPES:
        print(f"embedded model, {dtype}: {difference(logits[dtype], wanted)}")
        print(
            f"embedded model, {dtype}: the best answer differs from that of transformers float32 "
            f"for {changed(questions, logits[dtype], wanted)} of {QUESTIONS} SQuAD dev questions"
        )
    print(
        "embedded model, float32 to bfloat16: the best answer changes for "
        f"{changed(questions, *logits.values())} of {QUESTIONS} SQuAD dev questions"
    )


def changed(questions: list[Prepared], some: list[Logits], others: list[Logits]) -> int:
    """To how many questions the best answers lie in different places."""

    def places(logits: list[Logits]) -> list[Place]:
        pairs = zip(questions, logits, strict=True)
        return [our_answer(question, values).place for question, values in pairs]

    return sum(one != other for one, other in zip(places(some), places(others), strict=True))


def report_large() -> None:
    with tempfile.TemporaryDirectory() as directory:
        model, source = large_reference(Path(directory))
        windows = random_windows(LARGE_WINDOWS, model.config.vocab_size)
        expected = list(reference_logits(model, [windows]))
        for dtype in DTYPES:
            with exported_model(source, dtype) as (module, _):
                delta = difference(packed_logits(module, [windows]), expected)
            print(f"BERT-large shape, random weights, {dtype}: {delta}")


def report_answers() -> None:
    questions = read_questions(SQUAD_DEV)
    with exported_model(EMBEDDED, "float32") as (module, version):
        pairs = [(question.question, question.context) for question in questions]
        asked = tracked(cases(module, version, pairs), len(pairs), "embedded model, all questions")
    compared = [compare(case) for case in asked]
    golds = [question.answers for question in questions]
    several = [len(case.prepared.plan) > 1 for case in asked]
    print(
        f"{len(questions):,} SQuAD v1.1 dev questions, {sum(several):,} of them in several windows;"
    )
    print("embedded model, float32; scores of all, and of those in several windows")
    print_scores("ours", [pair.ours for pair in compared], golds, several)
    print_scores("recipe", [pair.theirs for pair in compared], golds, several)
    print(agreement(compared))


def print_scores(
    name: str, answers: list[Answer], golds: list[tuple[str, ...]], several: list[bool]
) -> None:
    parts = (
        scores(answers, golds),
        scores(compress(answers, several), list(compress(golds, several))),
    )
    print(f"{name}: " + "; ".join(f"EM {match:.2f}, F1 {f1:.2f}" for match, f1 in parts))


if __name__ == "__main__":
    main()
