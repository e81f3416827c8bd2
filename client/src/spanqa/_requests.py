"""Converts Python arguments to requests: pure functions that both clients share.

An argument that cannot be sent raises TypeError or ValueError with its name: ``pairs[3].context``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import TypeVar

from spanqa._inputs import Document, DocumentsLike, Options, Pair, PairLike
from spanqa.v1 import question_answering_pb2 as pb

_INT32_MAX = 2**31 - 1
_Value = TypeVar("_Value")


def answer_request(
    question: str, context: str, options: Options, *, where: str = "", options_where: str = ""
) -> pb.AnswerRequest:
    """Builds the request for one pair. The two prefixes name the arguments in errors."""
    return pb.AnswerRequest(
        question=_text(f"{where}question", question),
        context=_text(f"{where}context", context),
        options=_options(options, options_where),
    )


def batch_request(pairs: Iterable[PairLike]) -> pb.BatchAnswerRequest:
    """Builds the request for all pairs, in their order."""
    numbered = enumerate(several("pairs", pairs))
    return pb.BatchAnswerRequest(requests=[_pair(index, pair) for index, pair in numbered])


def stream_request(index: int, pair: PairLike) -> pb.StreamAnswerRequest:
    """Builds one message of a stream; its id is the index."""
    return pb.StreamAnswerRequest(id=str(index), request=_pair(index, pair))


def documents_request(
    question: str, documents: DocumentsLike, options: Options
) -> pb.AnswerFromDocumentsRequest:
    """Builds the request for a question about many texts."""
    return pb.AnswerFromDocumentsRequest(
        question=_text("question", question),
        documents=_documents(documents),
        options=_options(options, ""),
    )


def logits_request(
    question: str,
    context: str,
    *,
    max_sequence_tokens: int | None,
    doc_stride_tokens: int | None,
) -> pb.ComputeLogitsRequest:
    """Builds the request for the raw results of one pair."""
    return pb.ComputeLogitsRequest(
        question=_text("question", question),
        context=_text("context", context),
        offset_encoding=pb.OFFSET_ENCODING_UTF32,
        max_sequence_tokens=_int32("max_sequence_tokens", max_sequence_tokens),
        doc_stride_tokens=_int32("doc_stride_tokens", doc_stride_tokens),
    )


def several(name: str, values: Iterable[_Value]) -> Iterable[_Value]:
    """Returns the values; raises TypeError if they are a str or cannot be iterated."""
    # A str is an iterable of its characters, but never meant as one.
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list or another iterable, not {_kind(values)}")
    return values


def _pair(index: int, value: PairLike) -> pb.AnswerRequest:
    where = f"pairs[{index}]"
    if isinstance(value, tuple) and len(value) == 2:
        value = Pair(*value)
    if not isinstance(value, Pair):
        raise TypeError(
            f"{where} must be a spanqa.Pair or a tuple (question, context), not {_kind(value)}"
        )
    if not isinstance(value.options, Options):
        raise TypeError(f"{where}.options must be spanqa.Options, not {_kind(value.options)}")
    return answer_request(
        value.question,
        value.context,
        value.options,
        where=f"{where}.",
        options_where=f"{where}.options.",
    )


def _options(options: Options, where: str) -> pb.AnswerOptions:
    return pb.AnswerOptions(
        top_k=_int32(f"{where}top_k", options.top_k),
        max_answer_tokens=_int32(f"{where}max_answer_tokens", options.max_answer_tokens),
        allow_no_answer=_boolean(f"{where}allow_no_answer", options.allow_no_answer),
        no_answer_threshold=_real(f"{where}no_answer_threshold", options.no_answer_threshold),
        offset_encoding=pb.OFFSET_ENCODING_UTF32,
        max_sequence_tokens=_int32(f"{where}max_sequence_tokens", options.max_sequence_tokens),
        doc_stride_tokens=_int32(f"{where}doc_stride_tokens", options.doc_stride_tokens),
        min_probability=_real(f"{where}min_probability", options.min_probability),
        allow_overlap=_boolean(f"{where}allow_overlap", options.allow_overlap),
        max_answers_per_document=_int32(
            f"{where}max_answers_per_document", options.max_answers_per_document
        ),
    )


def _documents(documents: DocumentsLike) -> Iterator[pb.Document]:
    if isinstance(documents, Mapping):
        for key, value in documents.items():
            name = f"documents[{key!r}]"
            yield pb.Document(id=_text(f"the key of {name}", key), text=_text(name, value))
        return
    for index, document in enumerate(several("documents", documents)):
        name = f"documents[{index}]"
        if isinstance(document, Document):
            yield pb.Document(
                id=_text(f"{name}.id", document.id), text=_text(f"{name}.text", document.text)
            )
        elif isinstance(document, str):
            yield pb.Document(text=_text(name, document))
        else:
            raise TypeError(f"{name} must be a str or a spanqa.Document, not {_kind(document)}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds a lone surrogate at index {error.start}: it cannot be sent as UTF-8"
        ) from None
    return value


def _int32(name: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not bool")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, not {_kind(value)}") from None
    if abs(number) > _INT32_MAX:
        raise ValueError(f"{name} is {number}: it must fit into 32 bits")
    return number


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a float, not {_kind(value)}")
    return float(value)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    return type(value).__name__
