"""Our answers beside the SQuAD recipe's, from the same logits: counted, scored, explained."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizerFast

from parity.recipe import (
    MAX_ANSWER_TOKENS,
    Candidate,
    Place,
    Window,
    answer_text,
    best_pairs,
    question_windows,
)
from parity.reference import Logits, Pair, Prepared, packed_logits, prepare, version_tokenizer
from spanqa.squad import exact_match, f1_score
from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS
from spanqa_server.qa.decoder import decode
from spanqa_server.qa.tokenizer import TokenizedText


class Reason(StrEnum):
    """What makes the recipe's answer another one than ours."""

    MARKS = "marks after its last letter, which are not part of any of the tokenizer's tokens"
    CUT = "the best pair is not among the 20 best starts × 20 best ends of its window"
    TIE = "equal scores, the recipe takes another one first"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Case:
    """A question's windows in a context that has tokens, and their logits.

    `bare` has the tokens where the tokenizer puts them, without marks that it drops.
    """

    context: str
    prepared: Prepared
    logits: Logits
    bare: Prepared

    @property
    def marks(self) -> dict[int, int]:
        """Ends of tokens where marks follow that our tokens hold, and where these end."""
        bare, ours = (one.context.ends.tolist() for one in (self.bare, self.prepared))
        return {end: more for end, more in zip(bare, ours, strict=True) if end != more}


@dataclass(frozen=True, slots=True)
class Answer:
    """A text and where it lies: code points [start, end) of the context, or nowhere."""

    place: Place | None
    text: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One question answered by us and by the recipe, and why the answers differ if they do."""

    ours: Answer
    theirs: Answer
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many answers of the recipe are ours, and what makes the others different."""

    questions: int
    equal_places: int
    equal_texts: int
    reasons: dict[Reason, int]

    def __str__(self) -> str:
        """Several lines; those of the reasons are indented."""
        places, texts = (
            f"{count:,} ({count / self.questions:.3%})"
            for count in (self.equal_places, self.equal_texts)
        )
        lines = [f"equal answers: {places} as spans, {texts} as texts, of {self.questions:,}"]
        lines += [f"    {count:5,} differ: {reason}" for reason, count in self.reasons.items()]
        return "\n".join(lines)


def cases(module: torch.jit.ScriptModule, version: Path, pairs: Sequence[Pair]) -> Iterator[Case]:
    """Run the exported model; neighbours with one context share its tokens."""
    tokenizer = version_tokenizer(version)
    reference = BertTokenizerFast.from_pretrained(
        fetch(PRESETS["minilm-squad"]).directory, local_files_only=True
    )
    prepared: list[Prepared] = []
    last: tuple[str, TokenizedText] | None = None
    for question, context in pairs:
        if last is None or last[0] != context:
            last = context, tokenizer.encode(context)
        prepared.append(prepare(tokenizer, question, last[1]))
    logits = packed_logits(module, prepared)
    for (_, context), windows, values in zip(pairs, prepared, logits, strict=True):
        bare = windows
        if not context.isascii():
            bare = replace(windows, context=as_the_reference(reference, context, windows.context))
        yield Case(context, windows, values, bare)


def as_the_reference(
    tokenizer: BertTokenizerFast, context: str, tokens: TokenizedText
) -> TokenizedText:
    """The same tokens where the reference's tokenizer puts them."""
    encoding = tokenizer(
        context, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    assert encoding.input_ids == tokens.ids.tolist()
    places = np.array(encoding.offset_mapping, dtype=np.int64).reshape(-1, 2)
    return TokenizedText(tokens.ids, places[:, 0], places[:, 1])


def our_answer(prepared: Prepared, logits: Logits) -> Candidate:
    """The decoder's best span; the context must have a token."""
    (span,) = decode(
        logits.starts,
        logits.ends,
        prepared.plan,
        prepared.head,
        prepared.context.starts,
        prepared.context.ends,
        top_k=1,
        max_answer_tokens=MAX_ANSWER_TOKENS,
    ).spans
    return Candidate(span.start, span.end, np.float32(span.start_logit), np.float32(span.end_logit))


def compare(case: Case) -> Compared:
    """Decode the same logits by us and by the recipe."""
    ours = our_answer(case.prepared, case.logits)
    windows = question_windows(case.bare, case.logits)
    theirs = next(iter(best_pairs(windows)), None)
    return Compared(
        Answer(ours.place, case.context[slice(*ours.place)]),
        Answer(theirs.place if theirs else None, answer_text(windows, case.context)),
        explain(windows, ours, theirs, case.marks),
    )


def explain(
    windows: list[Window], ours: Candidate, theirs: Candidate | None, marks: Mapping[int, int]
) -> Reason | None:
    """Try all pairs instead of the best 20 × 20. None where the answers are equal."""
    if theirs and theirs.place == ours.place:
        return None
    if theirs and (theirs.start, marks.get(theirs.end, theirs.end)) == ours.place:
        return Reason.MARKS
    everything = max(len(window.offsets) for window in windows)
    best = best_pairs(windows, n_best=everything)[0]
    if ours.score != best.score:
        return Reason.OTHER
    return Reason.TIE if theirs and theirs.score == best.score else Reason.CUT


def agreement(compared: Sequence[Compared]) -> Agreement:
    """Count equal answers, and the reasons of the others, the most frequent first."""
    reasons = Counter(pair.reason for pair in compared if pair.reason)
    return Agreement(
        len(compared),
        sum(pair.ours.place == pair.theirs.place for pair in compared),
        sum(pair.ours.text == pair.theirs.text for pair in compared),
        dict(reasons.most_common()),
    )


def scores(answers: Iterable[Answer], golds: Sequence[Sequence[str]]) -> tuple[float, float]:
    """EM and F1 in percent, as the official script computes them."""
    pairs = [(answer.text, gold) for answer, gold in zip(answers, golds, strict=True)]
    return (
        100 * sum(exact_match(text, gold) for text, gold in pairs) / len(pairs),
        100 * sum(f1_score(text, gold) for text, gold in pairs) / len(pairs),
    )
