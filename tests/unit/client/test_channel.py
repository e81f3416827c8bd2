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
    ("target", "uses"),
    [
        ("qa.example:50051", True),
        ("10.0.0.1:50051", True),
        ("localhost:50051", False),
        ("127.0.0.1:50051", False),
        ("[::1]:50051", False),
        ("dns:///localhost:50051", False),
        ("qa.inside:50051", False),
    ],
)
def test_loopback_is_not_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, target: str, uses: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "elsewhere,.inside")
    assert _channel.proxy_of(target) == ("http_proxy=http://proxy:3128" if uses else "")
    if "inside" not in target:  # gRPC reads no_proxy itself
        options = dict(_channel.channel_options(target, 1000, ()))
        assert bool(options["grpc.enable_http_proxy"]) is uses


def test_a_message_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    with spanqa.Client("192.0.2.1:1") as client, pytest.raises(spanqa.UnavailableError) as raised:
        client.answer("q", "c", timeout=20)
    assert "through a proxy: http_proxy=http://127.0.0.1:9" in str(raised.value)


@pytest.mark.parametrize(
    "target", ["localhost:50051", "[::1]:50051", "dns:///qa:1", "unix:/run/qa:99999", "::1"]
)
def test_targets_that_grpc_knows_pass(target: str) -> None:
    spanqa.Client(target).close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": 7}, "target must be a str, not int"),
        ({"target": ""}, "HOST:PORT"),
        ({"target": "a b:1"}, "HOST:PORT"),
        ({"target": "https://host:1"}, "leave out the scheme"),
        ({"target": "localhost:99999"}, "over 65535"),
        *(({"timeout": seconds}, "^timeout is") for seconds in (0, -1.0, math.nan, math.inf)),
        ({"token": "secret\n"}, "newline"),
        ({"token": ""}, "token"),
        ({"max_message_bytes": 0}, "max_message_bytes"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        spanqa.Client(**changes)
