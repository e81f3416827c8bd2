"""The `question-answering` pipeline of transformers, as a reference for whole answers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from transformers import BertForQuestionAnswering, BertTokenizerFast
from transformers.pipelines.question_answering import QuestionAnsweringPipeline

from parity.recipe import MAX_ANSWER_TOKENS, Place
from parity.reference import MAX_LENGTH, STRIDE, Pair
from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS


@dataclass(frozen=True, slots=True)
class PipelineAnswer:
    """Code points [start, end) of the context, its text, and the pipeline's own score."""

    place: Place
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class PipelineAnswers:
    """The best answer with align_to_words=False and with True, which is the default."""

    tokens: PipelineAnswer
    words: PipelineAnswer


class BothAlignments(QuestionAnsweringPipeline):  # type: ignore[misc]  # has no types
    """The pipeline as it is, but for answering twice from the same logits."""

    def postprocess(self, model_outputs: Any, **options: Any) -> PipelineAnswers:
        both = (
            super(BothAlignments, self).postprocess(model_outputs, align_to_words=words, **options)
            for words in (False, True)
        )
        return PipelineAnswers(*(read_answer(answer) for answer in both))


def read_answer(answer: dict[str, Any]) -> PipelineAnswer:
    return PipelineAnswer((answer["start"], answer["end"]), answer["answer"], answer["score"])


def reference_tokenizer() -> BertTokenizerFast:
    """The embedded model's own fast tokenizer."""
    directory = fetch(PRESETS["minilm-squad"]).directory
    return BertTokenizerFast.from_pretrained(directory, local_files_only=True)


def reference_pipeline(
    model: BertForQuestionAnswering, kind: type[QuestionAnsweringPipeline] = BothAlignments
) -> QuestionAnsweringPipeline:
    """Build the pipeline on a model in memory."""
    return kind(model=model, tokenizer=reference_tokenizer(), framework="pt", device="cpu")


def ask(pipeline: QuestionAnsweringPipeline, pair: Pair, **options: Any) -> Any:
    """Ask one question with our defaults; one at a time, so that nothing is padded."""
    question, context = pair
    return pipeline(
        question=question,
        context=context,
        doc_stride=STRIDE,
        max_seq_len=MAX_LENGTH,
        max_answer_len=MAX_ANSWER_TOKENS,
        top_k=1,
        **options,
    )


def pipeline_answers(
    pipeline: QuestionAnsweringPipeline, pairs: Iterable[Pair]
) -> Iterator[PipelineAnswers]:
    """Ask all questions, in order."""
    for pair in pairs:
        yield ask(pipeline, pair)
