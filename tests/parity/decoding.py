"""Our answers beside those of the references, from the same logits: counted, scored, explained."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizerFast

from parity.explain import STEPS, Marks, Views, close_call, explain_pipeline, explain_recipe
from parity.pipeline_reference import PipelineAnswers, reference_tokenizer
from parity.pipeline_steps import word_windows
from parity.recipe import (
    MAX_ANSWER_TOKENS,
    Candidate,
    Place,
    answer_text,
    best_pairs,
    question_windows,
)
from parity.reference import Logits, Pair, Prepared, packed_logits, prepare, version_tokenizer
from spanqa.squad import exact_match, f1_score
from spanqa_server.qa.decoder import decode
from spanqa_server.qa.tokenizer import TokenizedText


@dataclass(frozen=True, slots=True)
class Answer:
    """A text and where it lies: code points [start, end) of the context, or nowhere."""

    place: Place | None
    text: str


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
    def marks(self) -> Marks:
        ends = zip(
            self.bare.context.ends.tolist(), self.prepared.context.ends.tolist(), strict=True
        )
        return {end: with_marks for end, with_marks in ends if end != with_marks}

    def views(self, tokenizer: BertTokenizerFast) -> Views:
        return Views(
            self.context,
            question_windows(self.bare, self.logits),
            word_windows(self.bare, self.logits, self.context, tokenizer),
            self.marks,
        )

    def read(self, pair: Candidate) -> Answer:
        return Answer(pair.place, self.context[slice(*pair.place)])


@dataclass(frozen=True, slots=True)
class Compared:
    """One question answered by us and by a reference, and why the answers differ if they do."""

    ours: Answer
    theirs: Answer
    reason: StrEnum | None


@dataclass(frozen=True, slots=True)
class ComparedPipeline:
    """Both forms of the pipeline's answer, and whether its steps on our logits give them."""

    tokens: Compared
    words: Compared
    followed: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """Official SQuAD scores in percent."""

    exact_match: float
    f1: float

    def __str__(self) -> str:
        return f"EM {self.exact_match:.2f}, F1 {self.f1:.2f}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many answers of a reference are ours, and what makes the others different."""

    questions: int
    equal_places: int
    equal_texts: int
    reasons: dict[StrEnum, int]

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
    tokenizer, reference = version_tokenizer(version), reference_tokenizer()
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


def compare_recipe(case: Case) -> Compared:
    """Decode the same logits by us and by the recipe."""
    ours = our_answer(case.prepared, case.logits)
    windows = question_windows(case.bare, case.logits)
    theirs = next(iter(best_pairs(windows)), None)
    return Compared(
        case.read(ours),
        Answer(theirs.place if theirs else None, answer_text(windows, case.context)),
        explain_recipe(windows, ours, theirs, case.marks),
    )


def compare_pipeline(
    case: Case, tokenizer: BertTokenizerFast, answers: PipelineAnswers
) -> ComparedPipeline:
    """Set our answer beside the pipeline's, which comes from logits of its own."""
    ours = our_answer(case.prepared, case.logits)
    views = case.views(tokenizer)
    both = {False: answers.tokens, True: answers.words}
    tokens, words = (
        Compared(
            case.read(ours),
            Answer(answer.place, answer.text),
            explain_pipeline(views, ours.place, answer, align_to_words=align),
        )
        for align, answer in both.items()
    )
    followed = (
        close_call(views.follow(STEPS[align][-1], align_to_words=align), answer.place)
        for align, answer in both.items()
    )
    return ComparedPipeline(tokens, words, all(followed))


def agreement(compared: Sequence[Compared]) -> Agreement:
    """Count equal answers, and the reasons of the others, the most frequent first."""
    reasons = Counter(pair.reason for pair in compared if pair.reason)
    return Agreement(
        len(compared),
        sum(pair.ours.place == pair.theirs.place for pair in compared),
        sum(pair.ours.text == pair.theirs.text for pair in compared),
        dict(reasons.most_common()),
    )


def scores(answers: Iterable[Answer], golds: Sequence[Sequence[str]]) -> Scores:
    """Score as the official script does."""
    texts = [answer.text for answer in answers]
    pairs = list(zip(texts, golds, strict=True))
    return Scores(
        100 * sum(exact_match(text, gold) for text, gold in pairs) / len(pairs),
        100 * sum(f1_score(text, gold) for text, gold in pairs) / len(pairs),
    )
