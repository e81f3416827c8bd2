"""From a question as a file has it to its fields: ids, texts, answers, and what is labelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spanqa.squad.layouts import (
    ANSWERS,
    CONTEXT,
    QUESTION,
    RawQuestion,
    items,
    member,
    missing,
)
from spanqa.squad.questions import REMEDY, SquadFormatError

_IDS = ("id", "qid", "query_id", "question_id")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Gold:
    """An answer as the file has it; ``start`` may be anything."""

    text: str
    start: object
    place: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A question with its fields checked."""

    id: str | None
    question: str
    context: str
    golds: tuple[Gold, ...]
    """To score by."""
    candidates: tuple[Gold, ...]
    """To train on: those with a position, if the file has such answers apart."""
    is_impossible: bool | None
    labelled: bool
    place: str
    unlabelled_because: str = ""


class EntryReader:
    """Reads entries, and counts what was unusual in them."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()

    @property
    def notices(self) -> Iterator[str]:
        """What was unusual, one sentence each."""
        for what, count in self._found.items():
            yield what.format(count=f"{count:,}")

    def entry(self, raw: RawQuestion) -> Entry:
        """The fields of a question.

        Raises:
            SquadFormatError: A field is missing, or of another kind than it must be.
        """
        fields, place = raw.entry, raw.place
        context = self._text(raw.context, _present(fields, CONTEXT), place)
        golds = tuple(self._golds(fields, place))
        impossible = _truth(fields.get("is_impossible"), f"{place}is_impossible")
        known, reason = True, ""
        if impossible is True:
            if any(gold.text.strip() for gold in golds):
                self._found[
                    "{count} questions have answers although is_impossible is true; "
                    "they count as unanswerable"
                ] += 1
            golds = ()
        elif not golds and impossible is False:
            known, reason = False, "answers is empty, but is_impossible is false"
        elif not _has_answers(fields):
            known, reason = False, "answers is missing"
        candidates = tuple(self._detected(fields, place)) if golds else ()
        return Entry(
            id=_identifier(fields, place),
            question=self._text(member(fields, QUESTION, place), _present(fields, QUESTION), place),
            context=context,
            golds=golds,
            candidates=candidates or golds,
            is_impossible=impossible,
            labelled=known,
            place=place,
            unlabelled_because=reason,
        )

    def _text(self, value: object, name: str, place: str) -> str:
        if not isinstance(value, str):
            raise SquadFormatError(f"{place}{name} is not a string; {REMEDY}")
        if value.isascii() or _LONE_SURROGATE.search(value) is None:
            return value
        self._found[
            "{count} texts hold half of a character (a lone surrogate), which is read as U+FFFD"
        ] += 1
        return _LONE_SURROGATE.sub("\ufffd", value)

    def _golds(self, fields: dict[str, Any], place: str) -> Iterator[Gold]:
        if fields.get("answers.text") is not None:  # columns of a flattened table
            columns = {"text": fields["answers.text"], "answer_start": _flat_start(fields)}
            golds = self._columns(columns, f"{place}answers.")
        else:
            name = _present(fields, ANSWERS)
            golds = self._listed(fields.get(name), name, fields, place)
        for gold in golds:
            # Some tools write this for "no answer".
            if gold.text or not (isinstance(gold.start, (int, float)) and gold.start < 0):
                yield gold

    def _listed(
        self, value: object, name: str, fields: dict[str, Any], place: str
    ) -> Iterator[Gold]:
        if value is None:
            return
        if isinstance(value, str) and name != "answers":
            yield Gold(self._text(value, name, place), _flat_start(fields), f"{place}{name}")
            return
        if isinstance(value, dict):
            yield from self._columns(value, f"{place}{name}.")
            return
        for item, where in items(value, name, place):
            if isinstance(item, dict):
                if "text" not in item:
                    raise missing("text", where)
                text = self._text(item["text"], "text", where)
                yield Gold(text, item.get("answer_start"), where.rstrip("."))
            else:
                yield Gold(self._text(item, name, place), None, where.rstrip("."))

    def _columns(self, value: dict[str, Any], place: str) -> Iterator[Gold]:
        """Answers as Hugging Face has them: a list of texts, and one of their positions."""
        if "text" not in value:
            raise missing("text", place)
        texts, starts = value["text"], value.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        starts = starts if isinstance(starts, list) else []
        for index, (text, where) in enumerate(items(texts, "text", place)):
            start = starts[index] if index < len(starts) else None
            yield Gold(self._text(text, "text", where), start, where.rstrip("."))

    def _detected(self, fields: dict[str, Any], place: str) -> Iterator[Gold]:
        """The answers of MRQA that have positions, which are those of first and last character."""
        for item, where in items(fields.get("detected_answers") or [], "detected_answers", place):
            if not isinstance(item, dict) or not isinstance(item.get("text"), str):
                raise missing("text", where)
            spans = item.get("char_spans")
            span = spans[0] if isinstance(spans, list) and spans else None
            start = span[0] if isinstance(span, list) and span else None
            yield Gold(self._text(item["text"], "text", where), start, where.rstrip("."))


def _present(fields: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in fields), names[0])


def _has_answers(fields: dict[str, Any]) -> bool:
    return any(fields.get(name) is not None for name in (*ANSWERS, "answers.text"))


def _flat_start(fields: dict[str, Any]) -> object:
    return fields.get("answers.answer_start", fields.get("answer_start"))


def _identifier(fields: dict[str, Any], place: str) -> str | None:
    value = next((fields[name] for name in _IDS if fields.get(name) is not None), None)
    if isinstance(value, float) and value.is_integer():  # as pandas makes of a column with a gap
        value = int(value)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise SquadFormatError(f"{place}id is neither a string nor a number; {REMEDY}")
    return _LONE_SURROGATE.sub("\ufffd", str(value))


def _truth(value: object, name: str) -> bool | None:
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    truth = _TRUTH.get(str(value).strip().lower())
    if truth is None:
        raise SquadFormatError(f"{name} is not true or false; {REMEDY}")
    return truth
