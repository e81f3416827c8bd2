"""Print how far the exported models are from transformers: .venv/bin/python tests/parity/report.py

The embedded model on SQuAD dev questions (logits, and answers that change in bfloat16), and
BERT-large in its true shape with random weights. Takes a few minutes on two cores.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import transformers
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common.squad import SQUAD_DEV, how_to_get
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
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.export import STEPS
from spanqa_model.packed_bert.devices import Dtype
from spanqa_server.qa.decoder import decode

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
QUESTIONS = 500
MAX_ANSWER_TOKENS = 30
T = TypeVar("T")


def main() -> None:
    """Run both comparisons."""
    if not SQUAD_DEV.is_file():
        sys.exit(how_to_get(SQUAD_DEV))
    transformers.logging.set_verbosity_error()  # it would suggest to train the new head
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        report_embedded(progress)
        report_large(progress)


def report_embedded(progress: Progress) -> None:
    source = PRESETS["minilm-squad"]
    results: dict[str, list[Logits]] = {}
    questions: list[Prepared] = []
    for dtype in DTYPES:
        questions, results[dtype] = run_embedded(progress, source, dtype)
    wanted = list(
        tracked(
            progress,
            "embedded model, transformers float32",
            reference_logits(embedded_reference(), questions),
            len(questions),
        )
    )
    expected = answers(questions, wanted)
    for dtype in DTYPES:
        print(f"embedded model, {dtype}: {difference(results[dtype], wanted)}")
        print(
            f"embedded model, {dtype}: the best answer differs from that of transformers float32 "
            f"for {changed(answers(questions, results[dtype]), expected)} of {len(questions)} "
            "SQuAD dev questions"
        )
    between = changed(*(answers(questions, results[dtype]) for dtype in DTYPES))
    print(
        f"embedded model, float32 to bfloat16: the best answer changes for {between} of "
        f"{len(questions)} SQuAD dev questions"
    )


def run_embedded(
    progress: Progress, source: Source, dtype: Dtype
) -> tuple[list[Prepared], list[Logits]]:
    steps = progress.add_task(f"exporting the embedded model, {dtype}", total=STEPS)
    with exported_model(source, dtype, on_step=advance(progress, steps)) as (
        module,
        version,
    ):
        tokenizer = version_tokenizer(version)
        questions = [prepare(tokenizer, *pair) for pair in squad_pairs(QUESTIONS)]
        logits = tracked(
            progress,
            f"embedded model, {dtype}",
            packed_logits(module, questions),
            len(questions),
        )
        return questions, list(logits)


def report_large(progress: Progress) -> None:
    with tempfile.TemporaryDirectory() as directory:
        task = progress.add_task("BERT-large, transformers float32", total=1)
        model, source = large_reference(Path(directory))
        windows = random_windows(LARGE_WINDOWS, model.config.vocab_size)
        expected = list(reference_logits(model, [windows]))
        progress.advance(task)
        for dtype in DTYPES:
            steps = progress.add_task(f"BERT-large, {dtype}", total=STEPS + 1)
            with exported_model(source, dtype, on_step=advance(progress, steps)) as (module, _):
                delta = difference(packed_logits(module, [windows]), expected)
            progress.advance(steps)
            print(f"BERT-large shape, random weights, {dtype}: {delta}")


def advance(progress: Progress, task: TaskID) -> Callable[[str], None]:
    return lambda _: progress.advance(task)


def tracked(progress: Progress, description: str, items: Iterable[T], total: int) -> Iterable[T]:
    return progress.track(items, total=total, description=description)


def answers(questions: list[Prepared], logits: list[Logits]) -> list[tuple[int, int]]:
    """Start and end of the best answer to each."""
    best = []
    for question, values in zip(questions, logits, strict=True):
        decoded = decode(
            values.starts,
            values.ends,
            question.plan,
            question.head,
            question.context.starts,
            question.context.ends,
            top_k=1,
            max_answer_tokens=MAX_ANSWER_TOKENS,
        )
        best.append((decoded.spans[0].start, decoded.spans[0].end))
    return best


def changed(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    return sum(mine != theirs for mine, theirs in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
