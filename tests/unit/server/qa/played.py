"""An answerer with a real tokenizer and a played model, and how it is asked."""

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, ParamSpec, TypeVar

import numpy as np
from hypothesis import strategies as st

from spanqa_server.qa.answerer import Answerer, Inference, Logits
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.requests import Limits, ModelDefaults, Options, Question
from spanqa_server.qa.results import AnswerSet, LogitSet
from spanqa_server.qa.text_cache import TextCache
from spanqa_server.qa.tokenizer import TextTokenizer
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.settings import Settings
from unit.server.vocabulary import make_tokenizer

P = ParamSpec("P")
T = TypeVar("T")

TOKENIZERS = {
    "cased": TextTokenizer(make_tokenizer(lowercase=False)),
    "uncased": TextTokenizer(make_tokenizer(lowercase=True)),
}
ENCODINGS = {OffsetUnit.UTF8: ("utf-8", 1), OffsetUnit.UTF16: ("utf-16-le", 2)}
THREADS = ThreadPoolExecutor(2)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@dataclass
class PlayedModel:
    """Logits that are a function of the tokens; [CLS] gets `null` if there is one."""

    null: float | None = None
    asked: list[PackedWindows] = field(default_factory=list)
    given: list[Logits] = field(default_factory=list)

    async def infer(self, packed: PackedWindows) -> Logits:
        self.asked.append(packed)
        rng = np.random.default_rng(zlib.crc32(packed.input_ids.tobytes()))
        logits = rng.normal(size=(2, len(packed.input_ids))).astype(np.float32) * 3
        if self.null is not None:
            logits[:, packed.input_ids == TOKENIZERS["cased"].cls_id] = self.null
        self.given.append(Logits(logits[0], logits[1], queue_seconds=0.25, infer_seconds=0.5))
        return self.given[-1]


class SpyThreads(Executor):
    """Real threads, and a list of the work that they were given."""

    def __init__(self) -> None:
        self.given: list[Callable[..., object]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self.given.append(fn)
        return THREADS.submit(fn, *args, **kwargs)


class NoThreads(Executor):
    """For questions so short that all work on them stays on the event loop."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        raise AssertionError("short work went to a thread")


def make_limits(**changed: int) -> Limits:
    """Those of a test, and the server's own defaults for what it does not name."""
    settings = Settings()
    names = [field.name for field in fields(Limits)]
    defaults = {name: getattr(settings, name, 0) for name in names}
    limits = {
        "max_question_tokens": 100,
        "max_context_bytes": 1 << 20,
        "max_top_k": 100,
        "max_answer_tokens": 64,
        "max_sequence_tokens": 512,
        "max_windows": 10_000,
        "max_documents": 50,
        "max_logits_tokens": 100_000,
        "max_window_tokens": 1 << 40,
    }
    return Limits(**defaults | limits | changed)


def make_answerer(
    name: str = "cased",
    model: Inference | None = None,
    threads: Executor | None = None,
    **limits: int,
) -> Answerer:
    threads = threads or THREADS
    return Answerer(
        TextCache(TOKENIZERS[name], threads, 1 << 20),
        ModelDefaults(384, 128, has_no_answer=True),
        make_limits(**limits),
        model or PlayedModel(),
        threads,
    )


def ask(answerer: Answerer, question: str, *texts: str, **options: Any) -> AnswerSet:
    request = Question(question, texts, Options(**options), "documents")
    return asyncio.run(answerer.answer(request))


def ask_logits(answerer: Answerer, question: str, context: str, **options: Any) -> LogitSet:
    request = Question(question, (context,), Options(**options))
    return asyncio.run(answerer.compute_logits(request))


def cut(text: str, start: int, end: int, unit: OffsetUnit) -> str:
    if unit is OffsetUnit.UTF32:
        return text[start:end]
    encoding, width = ENCODINGS[unit]
    return text.encode(encoding)[start * width : end * width].decode(encoding)
