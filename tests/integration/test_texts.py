"""Texts as people write them, in every script and with every oddity: exact to the last unit."""

from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import UNITS, cut, reason, status_of

SERVICE = "/spanqa.v1.QuestionAnsweringService/"
WHERE = "Where was Marie Curie born?"
BORN = "Marie Curie was born in {} in 1867."
PLAIN = BORN.format("Warsaw")
LONG_WORD = "donaudampfschifffahrt" * 14
# Question, context, and the answer's text as it stands there.
RIGHT = {
    "accents in one code point": (WHERE, BORN.format("Besançon, près d'Évian"), None),
    "accents as combining marks": (WHERE, BORN.format("Besanc\u0327on, Eu\u0301rope"), None),
    "marks upon marks": (WHERE, "Z\u0351\u036b\u0343\u036a algo. " + PLAIN, "Warsaw"),
    "Hangul as jamo": (WHERE, "\u1112\u1161\u11ab\u1100\u116e\u11a8 " + PLAIN, "Warsaw"),
    "emoji joined": (WHERE, "👩‍👩‍👧‍👦 👩🏽‍🚀 🏴󠁧󠁢󠁷󠁬󠁳󠁿 🇵🇱 " + PLAIN + " ❤️‍🔥", "Warsaw"),
    "emoji inside words": (WHERE, "Marie🌟Curie was🎂born in🌍Warsaw🌍in 1867.", None),
    "right to left": (WHERE, "מארי קירי נולדה בוורשה. ماري كوري. " + PLAIN, "Warsaw"),
    "bidirectional marks": (WHERE, "\u202bמארי\u202c \u2066" + PLAIN + "\u2069\u200f", "Warsaw"),
    "zero width between words": (WHERE, "\u200b\u2060\ufeff" + PLAIN + "\u200d", "Warsaw"),
    "NUL": (WHERE, "\x00" + PLAIN + "\x00\x00", "Warsaw"),
    "control characters": (WHERE, "\x07\x1b[31m" + PLAIN + "\x7f\x9b", "Warsaw"),
    "replacement character": (WHERE, "\ufffd " + PLAIN, "Warsaw"),
    "private use and unassigned": (WHERE, "\ue000\U000f0000\u0378 " + PLAIN, "Warsaw"),
    "Chinese around": (WHERE, "居里夫人是物理学家。" + PLAIN + "東京都。", "Warsaw"),
    "beyond the basic plane": (WHERE, "𝕸𝖆𝖗𝖎𝖊 𠜎𠜱 " + PLAIN, "Warsaw"),
    "a very long word": (WHERE, LONG_WORD + " " + PLAIN, "Warsaw"),
    "an absurdly long word": (WHERE, "x" * 20_000 + " " + PLAIN, "Warsaw"),
    "CRLF": (WHERE, PLAIN.replace(" in ", "\r\nin\r\n"), "Warsaw"),
    "no-break spaces": (WHERE, PLAIN.replace(" ", "\u00a0"), "Warsaw"),
    "ideographic spaces": (WHERE, PLAIN.replace(" ", "\u3000"), "Warsaw"),
    "tabs and odd spaces": (WHERE, PLAIN.replace(" ", "\t\u2009\u205f"), "Warsaw"),
    "line separators": (WHERE, PLAIN.replace(" ", "\u2028\u0085\x0b\x0c"), None),
    "full width": (WHERE, BORN.format("Ｗａｒｓａｗ"), None),
    "soft hyphens": (WHERE, BORN.format("War\u00adsaw"), "War\u00adsaw"),
    "noncharacters": (WHERE, "\ufffe\uffff\U0010ffff" + PLAIN, "Warsaw"),
    "one word of 20,000 letters": ("What?", "a" * 20_000, "a" * 20_000),
    "only Chinese": ("居里夫人出生在哪里?", "居里夫人出生在华沙。她1891年搬到巴黎。", None),
    "only Arabic": ("ما اسمها؟", "اسمها ماري كوري. وُلدت في وارسو سنة ١٨٦٧.", None),
    "only Devanagari": ("Where?", "मैरी क्यूरी का जन्म वारसॉ में हुआ था।", None),
    "only punctuation": ("?", "!!! ... ???", None),
    "a byte order mark": (WHERE, "\ufeff" + PLAIN, "Warsaw"),
    "special tokens": (
        "Which token ends a segment?",
        "The token [SEP] ends a segment. The token [CLS] starts the input. [PAD] fills it.",
        None,
    ),
    "special tokens in the question": (
        "[SEP] [CLS] Where was Marie Curie born? [SEP]",
        "[SEP] [MASK] " + PLAIN + " [SEP] [PAD] [UNK]",
        "Warsaw",
    ),
}


def ask(
    stub: QuestionAnsweringServiceStub, question: str, context: str, **options: Any
) -> pb.AnswerResponse:
    request = pb.AnswerRequest(
        question=question, context=context, options=pb.AnswerOptions(**options)
    )
    return stub.Answer(request, timeout=60)


@pytest.mark.parametrize("name", RIGHT)
def test_a_question_of_any_kind(stub: QuestionAnsweringServiceStub, name: str) -> None:
    answers = ask(stub, f"{WHERE} {RIGHT[name][1][:60]}", PLAIN, top_k=20).answers
    assert answers
    for answer in answers:
        assert PLAIN[answer.start : answer.end] == answer.text != ""


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_in_every_unit(stub: QuestionAnsweringServiceStub, name: str) -> None:
    question, context, right = RIGHT[name]
    texts = set()
    for unit in UNITS:
        answers = ask(stub, question, context, offset_encoding=unit, top_k=20).answers
        assert answers
        for answer in answers:
            assert cut(context, answer.start, answer.end, unit) == answer.text != ""
        texts.add(tuple(answer.text for answer in answers))
    assert len(texts) == 1, "the unit changed the answers"
    if right is not None:
        assert answers[0].text == right


def test_an_accent_is_part_of_its_letter(stub: QuestionAnsweringServiceStub) -> None:
    composed, decomposed = "Orléans", "Orle\u0301ans"
    for town in (composed, decomposed):
        [answer] = ask(stub, WHERE, BORN.format(town)).answers
        assert answer.text == town


@pytest.mark.parametrize("town", ["Malmo\u0308", "Nha\u0302\u0301", "Vie\u0323\u0302"])
def test_an_answer_ends_with_the_marks_of_its_last_letter(
    stub: QuestionAnsweringServiceStub, town: str
) -> None:
    for context in (f"Marie Curie was born in {town}", f"She was born in {town}, in 1867."):
        for unit in UNITS:
            [answer] = ask(stub, WHERE, context, offset_encoding=unit).answers
            assert answer.text == town
            assert cut(context, answer.start, answer.end, unit) == town


def test_a_character_split_into_several_tokens_is_one_answer(
    stub: QuestionAnsweringServiceStub,
) -> None:
    # The uncased tokenizer decomposes Hangul: tokens with equal offsets.
    context = "한국어 위키백과 서울 대한민국 " * 3
    answers = ask(stub, "어디?", context, top_k=100).answers
    assert len({(answer.start, answer.end) for answer in answers}) == len(answers) > 20


def test_an_absurdly_long_word_is_one_token(stub: QuestionAnsweringServiceStub) -> None:
    short, long = (ask(stub, WHERE, f"{'x' * size} {PLAIN}").usage for size in (101, 20_000))
    assert short == long


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "##s"])
def test_special_tokens_that_a_user_writes_are_text(
    stub: QuestionAnsweringServiceStub, token: str
) -> None:
    """Structure is where the service put it: one [CLS], two [SEP], whatever the texts say."""
    written = pb.ComputeLogitsRequest(
        question=f"who {token} was it {token}", context=f"{token} it was {token} Anna {token}"
    )
    [window] = stub.ComputeLogits(written, timeout=30).windows
    special = [
        (name, kind)
        for name, kind in zip(window.tokens, window.sequence_ids, strict=True)
        if kind == 0
    ]
    assert [name for name, _ in special] == ["[CLS]", "[SEP]", "[SEP]"]
    inside = [
        name for name, kind in zip(window.tokens, window.sequence_ids, strict=True) if kind != 0
    ]
    assert token not in inside
    assert inside.count("[" if token.startswith("[") else "#") >= 5


@pytest.mark.parametrize("field", [1, 2])
@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xed\xb0\x80", b"a\xed\xa0\xbd\xed\xb8\x80b"])
def test_lone_surrogates_are_refused(channel: grpc.Channel, field: int, raw: bytes) -> None:
    call: Any = channel.unary_unary(f"{SERVICE}Answer")
    good = pb.AnswerRequest(question=WHERE, context=PLAIN).SerializeToString()
    with pytest.raises(grpc.RpcError) as raised:
        call(good + bytes([field << 3 | 2, len(raw)]) + raw, timeout=30)
    status = status_of(raised.value)
    assert reason(status) == "MALFORMED_REQUEST"
    assert "not UTF-8" in status.message


def lone_surrogates(request: Any, text: str) -> bytes:
    """The serialized request with a placeholder of the same length made a lone surrogate."""
    raw: bytes = request.SerializeToString()
    assert raw.count(text.encode()) == 1
    return raw.replace(text.encode(), b"\xed\xa0\x80")


PAIR = pb.AnswerRequest(question="Where?", context="She was born in XXX.")
DOCUMENTS = [pb.Document(id="first", text="It rains."), pb.Document(text="She was born in XXX.")]
MALFORMED: dict[str, tuple[str, Any]] = {
    "question": ("Answer", pb.AnswerRequest(question="XXX", context=PLAIN)),
    "context": ("Answer", PAIR),
    "item": ("BatchAnswer", pb.BatchAnswerRequest(requests=[pb.AnswerRequest(), PAIR])),
    "document": ("AnswerFromDocuments", pb.AnswerFromDocumentsRequest(documents=DOCUMENTS)),
    "document id": (
        "AnswerFromDocuments",
        pb.AnswerFromDocumentsRequest(documents=[pb.Document(id="XXX", text="It rains.")]),
    ),
    "logits": ("ComputeLogits", pb.ComputeLogitsRequest(question="XXX", context=PLAIN)),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_lone_surrogates_are_refused_by_every_method(channel: grpc.Channel, case: str) -> None:
    method, request = MALFORMED[case]
    call: Any = channel.unary_unary(SERVICE + method)
    with pytest.raises(grpc.RpcError) as raised:
        call(lone_surrogates(request, "XXX"), timeout=30)
    status = status_of(raised.value)
    assert reason(status) == "MALFORMED_REQUEST"
    assert type(request).DESCRIPTOR.full_name in status.message


@pytest.mark.parametrize("entry", [{"id": "XXX"}, {"id": "1", "request": PAIR}])
def test_lone_surrogates_end_a_stream(channel: grpc.Channel, entry: dict[str, Any]) -> None:
    raw = lone_surrogates(pb.StreamAnswerRequest(**entry), "XXX")
    call: Any = channel.stream_stream(f"{SERVICE}StreamAnswer")
    with pytest.raises(grpc.RpcError) as raised:
        list(call(iter([raw]), timeout=30))
    assert reason(status_of(raised.value)) == "MALFORMED_REQUEST"
