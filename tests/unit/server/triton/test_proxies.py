"""Which proxy messages name, and that loopback is kept from all of them."""

import pytest

from spanqa_server.cli.main import keep_loopback_from_proxies
from spanqa_server.triton.proxies import through_proxy

PROXY = {"http_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        (PROXY, " through http_proxy=http://proxy:3128"),
        (PROXY | {"grpc_proxy": "http://other:1"}, " through grpc_proxy=http://other:1"),
        (PROXY | {"no_proxy": "triton"}, ""),
        (PROXY | {"no_grpc_proxy": "triton"}, ""),
        (
            PROXY | {"no_grpc_proxy": "elsewhere", "no_proxy": "triton"},
            " through http_proxy=http://proxy:3128",
        ),
    ],
)
def test_the_proxy_that_grpc_takes(environment: dict[str, str], expected: str) -> None:
    assert through_proxy("triton:8001", environment) == expected


@pytest.mark.parametrize("name", ["no_proxy", "no_grpc_proxy"])
def test_loopback_is_added_to_the_exceptions(name: str) -> None:
    environment = PROXY | {name: "elsewhere,127.0.0.1"}
    keep_loopback_from_proxies(environment)
    assert environment[name] == "elsewhere,127.0.0.1,localhost,::1"
    for address in ("localhost:1", "127.0.0.1:1"):
        assert through_proxy(address, environment) == ""
