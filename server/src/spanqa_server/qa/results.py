"""What the core hands to the protocol layer: plain values, with offsets in the caller's unit."""

from dataclasses import dataclass

from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.ranking import Span


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer: text == texts[document][start:end], counted in the caller's unit."""

    text: str
    document: int
    start: int
    end: int
    span: Span


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """The time of each stage."""

    tokenize: float
    queue: float
    infer: float
    decode: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request took."""

    question_tokens: int
    context_tokens: int
    windows: int
    seconds: StageSeconds


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """The answers to one question, and what they cost."""

    answers: list[FoundAnswer]
    no_answer: bool
    no_answer_probability: float
    offset_unit: OffsetUnit
    cost: Cost


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """One window, an entry a token in every list.

    `sequence_ids`: 0 special, 1 question, 2 context. `starts`, `ends`: places in the question
    or the context, in the unit asked for; 0 for special tokens.
    """

    token_ids: list[int]
    tokens: list[str]
    sequence_ids: list[int]
    starts: list[int]
    ends: list[int]
    start_logits: list[float]
    end_logits: list[float]


@dataclass(frozen=True, slots=True)
class LogitSet:
    """The raw results of every window, and what they cost."""

    windows: list[TokenWindow]
    offset_unit: OffsetUnit
    cost: Cost
