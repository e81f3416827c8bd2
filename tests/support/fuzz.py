"""Byte strings that look like requests, more or less."""

import random
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from spanqa.v1 import question_answering_pb2 as pb

Mutation = Callable[[random.Random, bytes], bytes]
TEXTS = [
    "",
    " ",
    "Where was Marie Curie born?",
    "Marie Curie was born in Warsaw in 1867. " * 3,
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "👩‍🚀 e\u0301\u0323 \u202eשלום\u202c 東京\u3000\u00a0\ufeff\x00\x07\r\n",
    "x" * 3000,
    "The rain went on. " * 200,
]
NUMBERS = [0, 1, 2, 3, 5, 20, 30, 100, 101, 384, 512, 513, -1, 2**31 - 1, -(2**31)]
INTEGERS = (
    "top_k",
    "max_answer_tokens",
    "max_sequence_tokens",
    "doc_stride_tokens",
    "max_answers_per_document",
)
REALS = [0.0, 0.5, 1.0, -1.0, 1e30, -1e30, float("inf"), float("-inf"), float("nan")]


def options(source: random.Random) -> pb.AnswerOptions:
    """Options of which most are in range."""
    message = pb.AnswerOptions()
    for name in INTEGERS:
        if source.random() < 0.2:
            setattr(message, name, source.choice(NUMBERS))
    if source.random() < 0.2:
        message.allow_no_answer = True
        message.no_answer_threshold = source.choice(REALS)
    if source.random() < 0.2:
        message.min_probability = source.choice(REALS)
    if source.random() < 0.3:
        message.offset_encoding = source.choice([0, 1, 2, 3, 4, -1])  # type: ignore[assignment]
    message.allow_overlap = source.random() < 0.2
    return message


def pair(source: random.Random) -> pb.AnswerRequest:
    return pb.AnswerRequest(
        question=source.choice(TEXTS), context=source.choice(TEXTS), options=options(source)
    )


def batch(source: random.Random) -> pb.BatchAnswerRequest:
    return pb.BatchAnswerRequest(requests=[pair(source) for _ in range(source.randint(0, 4))])


def stream_entry(source: random.Random) -> pb.StreamAnswerRequest:
    return pb.StreamAnswerRequest(id=source.choice(["", "1", "2", "x" * 99]), request=pair(source))


def documents(source: random.Random) -> pb.AnswerFromDocumentsRequest:
    texts = [source.choice(TEXTS) for _ in range(source.randint(0, 4))]
    return pb.AnswerFromDocumentsRequest(
        question=source.choice(TEXTS),
        documents=[pb.Document(id=str(number), text=text) for number, text in enumerate(texts)],
        options=options(source),
    )


def logits(source: random.Random) -> pb.ComputeLogitsRequest:
    return pb.ComputeLogitsRequest(
        question=source.choice(TEXTS),
        context=source.choice(TEXTS),
        offset_encoding=source.choice([0, 1, 2, 3, 77]),  # type: ignore[arg-type]
        max_sequence_tokens=source.choice([0, 0, 0, *NUMBERS]),
        doc_stride_tokens=source.choice([0, 0, 0, *NUMBERS]),
    )


def model(source: random.Random) -> pb.GetModelRequest:
    return pb.GetModelRequest()


REQUESTS: dict[str, Callable[[random.Random], Message]] = {
    "Answer": pair,
    "BatchAnswer": batch,
    "StreamAnswer": stream_entry,
    "AnswerFromDocuments": documents,
    "ComputeLogits": logits,
    "GetModel": model,
}


def flip_bits(source: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(source.randint(1, 8)):
        if changed:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def cut_short(source: random.Random, raw: bytes) -> bytes:
    return raw[: source.randint(0, len(raw))]


def repeat_part(source: random.Random, raw: bytes) -> bytes:
    first, last = sorted(source.randint(0, len(raw)) for _ in range(2))
    return raw[:last] + raw[first:last] * source.randint(1, 5) + raw[last:]


def insert_varint(source: random.Random, raw: bytes) -> bytes:
    """A field with a number of up to ten bytes, or longer than there may be."""
    at = source.randint(0, len(raw))
    tag = bytes([source.randrange(1, 16) << 3])
    return raw[:at] + tag + b"\xff" * source.randint(1, 12) + b"\x01" + raw[at:]


def wrong_wire_type(source: random.Random, raw: bytes) -> bytes:
    return bytes([raw[0] & 0xF8 | source.randrange(8)]) + raw[1:] if raw else b"\x0f"


def nest(source: random.Random, raw: bytes) -> bytes:
    """The message as its own first field, many times; or groups in groups."""
    if source.random() < 0.3:
        return b"\x0b" * source.randint(1, 300) + raw
    for _ in range(source.randint(1, 60)):
        size, prefix = len(raw), bytearray(b"\x0a")
        while size > 127:
            prefix.append(size & 127 | 128)
            size >>= 7
        raw = bytes(prefix) + bytes([size]) + raw
    return raw


def random_bytes(source: random.Random, raw: bytes) -> bytes:
    return source.randbytes(source.choice([0, 1, 2, 5, 20, 200, 2000]))


def unchanged(source: random.Random, raw: bytes) -> bytes:
    return raw


MUTATIONS: list[Mutation] = [
    *(flip_bits, cut_short, repeat_part, insert_varint, wrong_wire_type),
    *(nest, random_bytes, unchanged),
]


def byte_strings(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` times a method and the bytes of a request to it, or what is left of them."""
    source = random.Random(seed)
    methods = list(REQUESTS)
    for number in range(count):
        method = methods[number % len(methods)]
        raw = REQUESTS[method](source).SerializeToString()
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            raw = source.choice(MUTATIONS)(source, raw)
        yield method, raw
