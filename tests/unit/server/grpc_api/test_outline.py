"""An outline says of any bytes what the parser would find, and reads no further than it may."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.outline import NotAMessageError, outline

MOST = 1000
PAIRS = st.builds(
    pb.AnswerRequest,
    question=st.text(max_size=5),
    context=st.text(max_size=200),
    options=st.builds(pb.AnswerOptions, top_k=st.integers(-(2**31), 2**31 - 1)),
)
BATCHES = st.builds(pb.BatchAnswerRequest, requests=st.lists(PAIRS, max_size=20))


@given(BATCHES)
def test_entries_are_counted_as_they_are_parsed(batch: pb.BatchAnswerRequest) -> None:
    found = outline(batch.SerializeToString(), MOST)
    assert found.complete
    assert found.count(1) == len(batch.requests)
    assert found.size(1) == sum(request.ByteSize() for request in batch.requests)
    assert (found.count(2), found.size(2)) == (0, 0)


@given(PAIRS)
def test_texts_are_measured_in_bytes(pair: pb.AnswerRequest) -> None:
    found = outline(pair.SerializeToString(), MOST)
    assert found.size(1) == len(pair.question.encode())
    assert found.size(2) == len(pair.context.encode())


@given(
    st.binary(max_size=60)
    | st.builds(bytes.__add__, BATCHES.map(lambda one: one.SerializeToString()), st.binary())
)
def test_no_bytes_hold_more_entries_than_were_counted(raw: bytes) -> None:
    try:
        parsed = pb.BatchAnswerRequest.FromString(raw)
    except DecodeError:
        return
    try:
        found = outline(raw, MOST)
    except NotAMessageError:
        return  # a group, which no message of ours has: refused
    assert found.complete
    assert found.count(1) == len(parsed.requests)


@given(PAIRS, st.data())
def test_a_message_that_is_cut_short_is_none(pair: pb.AnswerRequest, data: Any) -> None:
    raw = pair.SerializeToString() + b"\x0a\x05where"
    cut = raw[: len(raw) - data.draw(st.integers(1, 6))]
    with pytest.raises(NotAMessageError):
        outline(cut, MOST)


@pytest.mark.parametrize(
    "raw", [b"\x0b\x0c", b"\xff" * 11, b"\x08", b"\x0d\x00", b"\x09\x00", b"\x0e", b"\x0a\xff"]
)
def test_what_is_no_message(raw: bytes) -> None:
    with pytest.raises(NotAMessageError):
        outline(raw, MOST)


def test_numbers_of_fixed_size_are_skipped() -> None:
    found = outline(b"\x0d1234" + b"\x1112345678" + b"\x18\x80\x01", MOST)
    assert found.complete
    assert not found.fields
    assert not outline(b"\x18\x00" * 3, most=2).complete


@pytest.mark.parametrize("raw", [b"\x0a\x00" * (8 << 20), b"\x78\x00" * (8 << 20)])
def test_millions_of_entries_cost_no_more_than_those_that_are_allowed(raw: bytes) -> None:
    few, most = raw[: 2 * MOST + 2], raw
    assert not outline(few, MOST).complete
    assert outline(most, MOST) == outline(few, MOST)
