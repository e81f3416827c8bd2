"""The windows that go through the model: SQuAD's own, or made up with SQuAD's lengths.

A GPU host may have neither tokenizer nor SQuAD.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import REPOSITORY
from benchmarks.common.shapes import VOCABULARY
from benchmarks.common.squad import how_to_get
from benchmarks.gpu.options import MissingError, Options

LENGTHS = Path(__file__).with_name("squad_window_lengths.json")
VERSION = REPOSITORY / "bert_qa" / "1"
NAMES = ("input_ids", "token_type_ids", "window_lengths")
QUESTION_TOKENS = 14  # of a made-up window, [CLS] and [SEP] included
MOST_TOKENS = 384
Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows end to end: int32 [T], [T] and [W], and where they come from."""

    source: str
    input_ids: Array
    token_type_ids: Array
    window_lengths: Array


def load_windows(options: Options, count: int) -> Windows:
    """`count` windows from SQuAD, or made up."""
    try:
        return squad_windows(options.data, count)
    except (ImportError, MissingError):
        return made_up_windows(count)


def squad_windows(data: Path, count: int) -> Windows:
    """Windows of questions spread over SQuAD v1.1 dev, longer contexts cut at 384 tokens."""
    if not data.is_file():
        raise MissingError(how_to_get(data))
    if not (VERSION / "tokenizer.json").is_file():
        raise MissingError(f"{VERSION} is missing: `make setup` exports it")
    from benchmarks.common.workload import squad_mix
    from spanqa_server.qa.windows import pack_windows, plan_windows
    from spanqa_server.versions.repository import load_version

    tokenizer = load_version(VERSION).tokenizer
    made = []
    for request in squad_mix(data, count):
        question = tokenizer.encode(request.question).ids
        room = MOST_TOKENS - 3 - len(question)
        context = tokenizer.encode(request.context).ids[:room]
        plan = plan_windows(len(context), len(context), 0)
        ids = {"cls_id": tokenizer.cls_id, "sep_id": tokenizer.sep_id}
        made.append(pack_windows(question, context, plan, **ids))
    arrays = {name: np.concatenate([getattr(one, name) for one in made]) for name in NAMES}
    return Windows("SQuAD v1.1 dev", **arrays)


def made_up_windows(count: int) -> Windows:
    """Random tokens in windows whose lengths are distributed as SQuAD's are."""
    random = np.random.default_rng(0)
    percentiles = json.loads(LENGTHS.read_text())["percentiles"]
    drawn = np.interp(random.uniform(0, 100, count), np.arange(101), percentiles)
    lengths = drawn.round().astype(np.int32)
    ids = random.integers(1000, VOCABULARY, int(lengths.sum()), dtype=np.int32)
    types = np.concatenate([np.arange(n) >= QUESTION_TOKENS for n in lengths]).astype(np.int32)
    return Windows("made up, SQuAD's lengths", ids, types, lengths)
