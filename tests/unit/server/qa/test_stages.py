"""Whoever wants to know sees the stages of a request begin and end, and what they fail with."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa.answerer import Answerer
from spanqa_server.qa.requests import ModelDefaults
from unit.server.qa.played import (
    TOKENIZERS,
    NoThreads,
    PlayedModel,
    ask,
    ask_logits,
    make_limits,
    no_cache,
)


def watched(seen: list[str]) -> Answerer:
    @contextmanager
    def stage(name: str) -> Iterator[None]:
        seen.append(name)
        try:
            yield
        except InvalidRequestError:
            seen.append(f"{name} fails")
            raise
        seen.append(f"{name} ends")

    defaults = ModelDefaults(384, 128, has_no_answer=True)
    model, cache = PlayedModel(), no_cache()
    return Answerer(TOKENIZERS["cased"], defaults, make_limits(), model, NoThreads(), cache, stage)


def test_stages_follow_each_other() -> None:
    seen: list[str] = []
    ask(watched(seen), "who", "it is me")
    ask_logits(watched(seen), "who", "it is me")
    assert seen == ["tokenize", "tokenize ends", "decode", "decode ends"] * 2


def test_a_stage_sees_its_error() -> None:
    seen: list[str] = []
    with pytest.raises(InvalidRequestError):
        ask(watched(seen), "", "it is me")
    assert seen == ["tokenize", "tokenize fails"]
