"""What a client makes of its arguments before it connects."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import spanqa
from spanqa import _channel
from spanqa.v1 import question_answering_pb2 as pb

OPTIONS = dict(_channel.channel_options("qa:1", 1000, ()))


def test_calls_are_balanced_and_all_but_streams_repeated_when_a_server_ends() -> None:
    config = json.loads(OPTIONS["grpc.service_config"])
    (retried,) = config["methodConfig"]
    assert retried["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    methods = pb.DESCRIPTOR.services_by_name["QuestionAnsweringService"].methods
    unary = {method.name for method in methods if not method.client_streaming}
    assert {name["method"] for name in retried["name"]} == unary
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]


def test_keepalive_stays_within_what_the_server_allows() -> None:
    assert OPTIONS["grpc.keepalive_time_ms"] >= 20_000
    assert OPTIONS["grpc.keepalive_permit_without_calls"] == 0


def test_callers_options_win() -> None:
    options = _channel.channel_options(
        "qa:1", 1000, [("grpc.keepalive_time_ms", 60_000), ("mine", 1)]
    )
    assert dict(options) == OPTIONS | {"grpc.keepalive_time_ms": 60_000, "mine": 1}
    assert len(dict(options)) == len(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"timeout": seconds}, "^timeout is") for seconds in (0, -1.0, math.nan, math.inf)),
        ({"token": "secret\n"}, "newline"),
        ({"token": ""}, "token"),
        ({"max_message_bytes": 0}, "max_message_bytes"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        spanqa.Client(**changes)
