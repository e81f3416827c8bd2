"""The lines that the commands print."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spanqa import Answer, AnswerResult, Document, DocumentsResult, Timing, Usage
from spanqa._sentences import sentence_around
from spanqa.cli.rendering import answer_lines, document_lines
from spanqa.cli.terminal import printable

TEXT = 'It rained. "Ada Lovelace wrote the first program." Then she slept!\n\nNobody saw'


def sentence(needle: str) -> str:
    start = TEXT.index(needle)
    first, last = sentence_around(TEXT, start, start + len(needle))
    return TEXT[first:last]


def test_the_sentence_of_an_answer_is_found() -> None:
    assert sentence("It") == "It rained."
    assert sentence("Ada Lovelace") == '"Ada Lovelace wrote the first program."'
    assert sentence("slept") == "Then she slept!"
    assert sentence("Nobody") == "Nobody saw"
    assert sentence('program." Then') == '"Ada Lovelace wrote the first program." Then she slept!'


def test_endless_sentences_are_cut() -> None:
    text = "word " * 10_000
    first, last = sentence_around(text, 25_000, 25_004)
    assert (first, last) == (24_800, 25_204)


@given(context=st.text(alphabet=' .!?"\n\tab€😀', max_size=40), data=st.data())
def test_the_sentence_always_holds_the_answer(context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context)))
    end = data.draw(st.integers(start, len(context)))
    first, last = sentence_around(context, start, end)
    assert 0 <= first <= start <= end <= last <= len(context)


COUNTED = Usage(0, 0, 0), Timing(0, 0, 0, 0, 0)


def result(*answers: Answer) -> AnswerResult:
    return AnswerResult(answers, not answers, 0.0, "1", *COUNTED)


def test_answers_stand_highlighted_in_their_sentences() -> None:
    start = TEXT.index("Ada Lovelace")
    answer = Answer("Ada Lovelace", start, start + 12, 9.0, 0.98765, 4.0, 5.0, 0)
    head, body = answer_lines(result(answer), TEXT)
    assert head.plain == f"Ada Lovelace  [{start}:{start + 12}]  probability 0.988"
    assert body.plain == '  "Ada Lovelace wrote the first program."'
    assert [body.plain[span.start : span.end] for span in body.spans] == ["Ada Lovelace"]


def test_markup_in_a_text_stays_text_and_control_characters_go() -> None:
    context = "[red]Ada[/red]\x1b did"
    head, body = answer_lines(result(Answer("[red]Ada", 0, 8, 0, 0.5, 0, 0, 0)), context)
    assert head.plain.startswith("[red]Ada  [0:8]")
    assert body.plain == "  [red]Ada[/red]\ufffd did"
    assert printable("a\x1b[31m\r\nb\x9b\x00") == "a\ufffd[31m  b\ufffd\ufffd"


def test_no_answer_is_said() -> None:
    (line,) = answer_lines(replace(result(), no_answer=False), TEXT)
    assert line.plain == "No answer."


def test_answers_of_documents_name_them() -> None:
    answer = Answer("Ada", 4, 7, 9.0, 0.5, 4.0, 5.0, 1)
    documents = [Document("Bob did."), Document("So  Ada did.", id="b\x1b")]
    result = DocumentsResult((answer,), ("", "b\x1b"), False, 0.0, "1", *COUNTED)
    head, body = document_lines(result, documents)
    assert head.plain == "Ada  b\ufffd [4:7]  probability 0.500"
    assert body.plain == "  So  Ada did."
