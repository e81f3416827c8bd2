"""The models to compare with (transformers, float32), and the exported ones to compare."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertConfig, BertForQuestionAnswering

from benchmarks.common.squad import SQUAD_DEV
from spanqa.squad import read_questions
from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.export import Target, export
from spanqa_model.packed_bert.devices import Dtype
from spanqa_model.packed_bert.torchscript import torchscript_deprecation_accepted
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText
from spanqa_server.qa.windows import PackedWindows, WindowPlan, pack_windows, plan_windows

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
CASED_VOCAB = SHARED / "data" / "vocab" / "bert-cased-vocab.txt"
MAX_LENGTH, STRIDE = 384, 128
LARGE_WINDOWS = (384, 170, 128, 64, 33, 12)

Floats = npt.NDArray[np.float32]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question's windows, and what the decoder needs to know of its context."""

    packed: PackedWindows
    plan: WindowPlan
    head: int
    context: TokenizedText


@dataclass(frozen=True, slots=True)
class Logits:
    """Start and end logits, [T] each: all windows of a question end to end."""

    starts: Floats
    ends: Floats


@dataclass(frozen=True, slots=True)
class Difference:
    """|Δ logit| over all start and end logits; `spread` is the reference's deviation."""

    mean: float
    maximum: float
    spread: float
    logits: int

    def __str__(self) -> str:
        return (
            f"|Δ logit| mean {self.mean:.2e}, max {self.maximum:.2e} over {self.logits:,} logits "
            f"(the reference's standard deviation is {self.spread:.2f})"
        )


def difference(got: Iterable[Logits], want: Iterable[Logits]) -> Difference:
    mine, theirs = (
        np.concatenate([values for logits in side for values in (logits.starts, logits.ends)])
        for side in (got, want)
    )
    delta = np.abs(mine.astype(np.float64) - theirs)
    return Difference(
        float(delta.mean()), float(delta.max()), float(theirs.std(dtype=np.float64)), len(delta)
    )


def squad_pairs(count: int | None = None) -> list[Pair]:
    """(question, context) of the SQuAD v1.1 dev questions, or `count` of them evenly spread."""
    pairs = [(question.question, question.context) for question in read_questions(SQUAD_DEV)]
    if count is None:
        return pairs
    return [pairs[i * len(pairs) // count] for i in range(count)]


def version_tokenizer(version: Path) -> TextTokenizer:
    return TextTokenizer(Tokenizer.from_file(str(version / "tokenizer.json")))


def prepare(
    tokenizer: TextTokenizer,
    question: str,
    context: str | TokenizedText,
    *,
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
) -> Prepared:
    """Windows as the frontend cuts them."""
    question_ids = tokenizer.encode(question).ids
    tokens = tokenizer.encode(context) if isinstance(context, str) else context
    plan = plan_windows(len(tokens), max_length - len(question_ids) - 3, stride)
    packed = pack_windows(
        question_ids, tokens.ids, plan, cls_id=tokenizer.cls_id, sep_id=tokenizer.sep_id
    )
    return Prepared(packed, plan, len(question_ids) + 2, tokens)


def random_windows(lengths: Iterable[int], vocab_size: int) -> Prepared:
    """Windows of random pieces, as one question's."""
    sizes = np.array(list(lengths))
    ids = np.random.default_rng(0).integers(0, vocab_size, int(sizes.sum())).astype(np.int32)
    types = np.concatenate([np.arange(n) >= n // 4 for n in sizes]).astype(np.int32)
    none = np.zeros(0, dtype=np.int64)
    return Prepared(
        PackedWindows(ids, types, sizes.astype(np.int32)),
        WindowPlan(none, none),
        0,
        TokenizedText(none.astype(np.int32), none, none),
    )


def embedded_reference() -> BertForQuestionAnswering:
    """The preset minilm-squad as transformers and PEFT load it, merged by PEFT."""
    preset = PRESETS["minilm-squad"]
    base = BertForQuestionAnswering.from_pretrained(
        fetch(preset).directory, attn_implementation="eager", local_files_only=True
    )
    adapted = PeftModel.from_pretrained(base, str(preset.adapter))
    merged: BertForQuestionAnswering = adapted.merge_and_unload().eval()
    return merged


def large_reference(directory: Path) -> tuple[BertForQuestionAnswering, Source]:
    """BERT-large in its true shape with random weights, and saved as a checkpoint directory."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=28_996,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        attn_implementation="eager",
    )
    model = BertForQuestionAnswering(config).eval()
    model.save_pretrained(directory)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*specials, *(f"Piece{i}" for i in range(config.vocab_size - len(specials)))]
    (directory / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    # Short windows for the exporter's own comparison, which would take most of the time.
    return model, Source(
        name="large", repository=str(directory), max_sequence_tokens=128, doc_stride_tokens=32
    )


@contextmanager
def exported_model(source: Source, dtype: Dtype) -> Iterator[tuple[torch.jit.ScriptModule, Path]]:
    """Export to a repository of its own; yields the reloaded model.pt and the version."""
    with tempfile.TemporaryDirectory() as repository:
        target = Target(dtype=dtype, device="cpu", attention="windowed")
        exported = export(source, Path(repository), target, on_step=lambda _: None)
        with torchscript_deprecation_accepted():
            module = torch.jit.load(str(exported.directory / "model.pt"), map_location="cpu")
        yield module, exported.directory


def packed_logits(
    module: torch.jit.ScriptModule, questions: list[Prepared], *, batch: int = 8
) -> Iterator[Logits]:
    """The exported model, `batch` questions at once."""
    for first in range(0, len(questions), batch):
        parts = [question.packed for question in questions[first : first + batch]]
        inputs = [
            torch.from_numpy(np.concatenate([getattr(part, name) for part in parts]))
            for name in ("input_ids", "token_type_ids", "window_lengths")
        ]
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            starts, ends = module(*inputs)
        sizes = [len(part.input_ids) for part in parts]
        for start, end in zip(starts.split(sizes), ends.split(sizes), strict=True):
            yield Logits(start.numpy(), end.numpy())


def reference_logits(
    model: BertForQuestionAnswering, questions: Iterable[Prepared]
) -> Iterator[Logits]:
    """The reference, each window alone: no padding, no neighbours."""
    for question in questions:
        sizes = question.packed.window_lengths.tolist()
        windows = zip(
            as_long(question.packed.input_ids).split(sizes),
            as_long(question.packed.token_type_ids).split(sizes),
            strict=True,
        )
        with torch.inference_mode():
            outputs = [model(input_ids=i[None], token_type_ids=t[None]) for i, t in windows]
        yield Logits(
            torch.cat([output.start_logits[0] for output in outputs]).numpy(),
            torch.cat([output.end_logits[0] for output in outputs]).numpy(),
        )


def as_long(values: npt.NDArray[np.int32]) -> Tensor:
    return torch.from_numpy(values).long()
