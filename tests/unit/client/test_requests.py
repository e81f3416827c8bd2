"""Requests from Python arguments, without a network."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa import Document, Options, Pair, _requests
from spanqa.v1 import question_answering_pb2 as pb

DEFAULT = pb.AnswerOptions(top_k=1, offset_encoding=pb.OFFSET_ENCODING_UTF32)


@given(question=st.text(), context=st.text())
def test_any_text_goes_into_a_request_unchanged(question: str, context: str) -> None:
    # st.text() leaves surrogates out, which is exactly what can be sent.
    request = _requests.answer_request(question, context, Options())
    assert request == pb.AnswerRequest(question=question, context=context, options=DEFAULT)


class Index:
    def __index__(self) -> int:
        return 5


def test_integers_of_other_types_are_taken() -> None:
    options: Any = {"top_k": Index()}
    assert _requests.answer_request("q", "c", Options(**options)).options.top_k == 5


WRONG_OPTIONS = [
    ("top_k", 1.5, TypeError),
    ("top_k", True, TypeError),
    ("top_k", "1", TypeError),
    ("max_answer_tokens", 2**31, ValueError),
    ("max_sequence_tokens", -(2**40), ValueError),
    ("doc_stride_tokens", [], TypeError),
    ("allow_no_answer", 1, TypeError),
    ("no_answer_threshold", None, TypeError),
    ("min_probability", "0.5", TypeError),
    ("allow_overlap", 1, TypeError),
    ("max_answers_per_document", 2**31, ValueError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG_OPTIONS)
def test_wrong_options_are_named(name: str, value: object, error: type[Exception]) -> None:
    wrong: Any = {name: value}
    options = Options(**wrong)
    with pytest.raises(error, match=f"^{name} "):
        _requests.answer_request("q", "c", options)
    with pytest.raises(error, match=f"^{name} "):
        _requests.documents_request("q", ["c"], options)
    with pytest.raises(error, match=rf"^pairs\[1\]\.options\.{name} "):
        _requests.batch_request([("q", "c"), Pair("q", "c", options)])


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        (("q", "Ada\udc80"), ValueError, r"pairs\[3\]\.context holds a lone surrogate at index 3"),
        (Pair("\ud800", "c"), ValueError, r"pairs\[3\]\.question holds a lone surrogate"),
        (("q", b"c"), TypeError, r"pairs\[3\]\.context must be a str, not bytes"),
        (("q", "c", {"top_k": 1}), TypeError, r"pairs\[3\] must be a spanqa.Pair .* not tuple"),
        ("qc", TypeError, r"pairs\[3\] must be a spanqa.Pair .* not str"),
        (Pair("q", "c", {}), TypeError, r"pairs\[3\]\.options must be spanqa.Options, not dict"),  # type: ignore[arg-type]
    ],
)
def test_wrong_pairs_are_named(pair: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        _requests.batch_request([*[("q", "c")] * 3, pair])
    with pytest.raises(error, match=f"^{message}"):
        _requests.stream_request(3, pair)


@pytest.mark.parametrize("several", ["text", 7, None])
def test_one_text_in_place_of_many_is_refused(several: Any) -> None:
    kind = type(several).__name__
    with pytest.raises(TypeError, match=f"^pairs must be a list or another iterable, not {kind}"):
        _requests.batch_request(several)
    with pytest.raises(TypeError, match=f"^documents must be a list or .* not {kind}"):
        _requests.documents_request("q", several, Options())


def test_documents_may_be_plain_texts() -> None:
    documents: list[str | Document] = ["one", Document("two")]
    request = _requests.documents_request("q", iter(documents), Options())
    assert [(d.id, d.text) for d in request.documents] == [("", "one"), ("", "two")]


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        (["a", "\udc80"], ValueError, r"documents\[1\] holds a lone surrogate"),
        ([Document("\udc80")], ValueError, r"documents\[0\]\.text holds a lone surrogate"),
        ([Document("a", id="\udc80")], ValueError, r"documents\[0\]\.id holds a lone surrogate"),
        ([b"a"], TypeError, r"documents\[0\] must be a str or a spanqa.Document, not bytes"),
        ({"a": "\udc80"}, ValueError, r"documents\['a'\] holds a lone surrogate"),
        ({7: "a"}, TypeError, r"the key of documents\[7\] must be a str, not int"),
    ],
)
def test_wrong_documents_are_named(documents: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        _requests.documents_request("q", documents, Options())


def test_a_request_for_logits_carries_everything() -> None:
    request = _requests.logits_request("q", "c", max_sequence_tokens=64, doc_stride_tokens=None)
    assert request == pb.ComputeLogitsRequest(
        question="q",
        context="c",
        offset_encoding=pb.OFFSET_ENCODING_UTF32,
        max_sequence_tokens=64,
    )
    with pytest.raises(ValueError, match=r"^doc_stride_tokens is "):
        _requests.logits_request("q", "c", max_sequence_tokens=None, doc_stride_tokens=2**31)
