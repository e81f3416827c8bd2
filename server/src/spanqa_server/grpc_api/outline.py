"""What a message's outermost fields are, without parsing it.

A parser makes an object of each submessage, and two bytes are enough for one: a message of 16 MiB
would become 600 MB. Here the bytes between two tags are skipped, and the walk ends early.
"""

from collections import defaultdict
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Of a number of 64 bits.
LONGEST_VARINT = 10


class NotAMessageError(ValueError):
    """The bytes are no protobuf, or hold a group, which no message of ours does."""


@dataclass(slots=True)
class Field:
    """All occurrences of a field: how many, and the bytes of their contents together."""

    count: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """The outermost fields with texts or messages, by number, and whether these are all."""

    fields: dict[int, Field]
    complete: bool

    def count(self, number: int) -> int:
        """Occurrences of a field."""
        return self.fields[number].count if number in self.fields else 0

    def size(self, number: int) -> int:
        """Bytes in a field, of strings those of UTF-8; in all its occurrences together."""
        return self.fields[number].size if number in self.fields else 0


def outline(raw: bytes, most: int) -> Outline:
    """Walk over at most so many of a message's outermost fields.

    Raises:
        NotAMessageError: the bytes up to there are no protobuf.
    """
    fields: defaultdict[int, Field] = defaultdict(Field)
    at = 0
    for _ in range(most):
        if at == len(raw):
            break
        tag, at = read_varint(raw, at)
        size, at = content(raw, at, tag & 7)
        at += size
        if at > len(raw):
            raise NotAMessageError("a field is cut short")
        if tag & 7 == BYTES:  # a text or message of ours is sent in no other way
            field = fields[tag >> 3]
            field.count += 1
            field.size += size
    return Outline(dict(fields), at == len(raw))


def content(raw: bytes, at: int, kind: int) -> tuple[int, int]:
    """How many bytes a field's content has, and where it begins."""
    if kind == BYTES:
        return read_varint(raw, at)
    if kind == VARINT:
        return read_varint(raw, at)[1] - at, at
    if kind == FIXED32:
        return 4, at
    if kind == FIXED64:
        return 8, at
    raise NotAMessageError(f"unknown wire type {kind}")


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    for byte in raw[at : at + LONGEST_VARINT]:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return value, at
    raise NotAMessageError("a number does not end")
