"""Texts as people write them, in every script and with every oddity: exact to the last unit."""

from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import CODECS, UNITS, ask, cut, reason, refused

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
    for unit in CODECS:
        answers = ask(stub, question, context, offset_encoding=unit, top_k=20).answers
        assert answers
        for answer in answers:
            assert cut(context, answer.start, answer.end, unit) == answer.text != ""
        texts.add(tuple(answer.text for answer in answers))
    assert len(texts) == 1, "the unit changed the answers"
    if right is not None:
        assert answers[0].text == right


@pytest.mark.parametrize(
    "town", ["Orléans", "Orle\u0301ans", "Malmo\u0308", "Nha\u0302\u0301", "Vie\u0323\u0302"]
)
def test_an_answer_ends_with_the_marks_of_its_last_letter(
    stub: QuestionAnsweringServiceStub, town: str
) -> None:
    """Accents are part of their letter, whether composed or not."""
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
    answers = ask(stub, "어디?", context, top_k=100, allow_overlap=True).answers
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
    rows = list(zip(window.tokens, window.sequence_ids, strict=True))
    assert [name for name, kind in rows if kind == 0] == ["[CLS]", "[SEP]", "[SEP]"]
    inside = [name for name, kind in rows if kind != 0]
    assert token not in inside
    assert inside.count("[" if token.startswith("[") else "#") >= 5


def malformed(request: Any, raw: bytes) -> bytes:
    """The serialized request with three bytes in place of its placeholder."""
    serialized: bytes = request.SerializeToString()
    assert serialized.count(b"XXX") == 1
    return serialized.replace(b"XXX", raw)


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
    "stream id": ("StreamAnswer", pb.StreamAnswerRequest(id="XXX")),
    "stream pair": ("StreamAnswer", pb.StreamAnswerRequest(id="1", request=PAIR)),
}


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xed\xb0\x80"], ids=["high", "low"])
@pytest.mark.parametrize("case", MALFORMED)
def test_lone_surrogates_are_refused_by_every_method(
    channel: grpc.Channel, case: str, raw: bytes
) -> None:
    method, request = MALFORMED[case]
    sent = malformed(request, raw)
    if method == "StreamAnswer":
        stream: Any = channel.stream_stream(SERVICE + method)
        status = refused(lambda: list(stream(iter([sent]), timeout=30)))
    else:
        call: Any = channel.unary_unary(SERVICE + method)
        status = refused(lambda: call(sent, timeout=30))
    assert reason(status) == "MALFORMED_REQUEST"
    assert type(request).DESCRIPTOR.full_name in status.message
    assert "not UTF-8" in status.message
