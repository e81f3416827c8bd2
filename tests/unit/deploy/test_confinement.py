"""Containers have no more rights, ways in and room than they need."""

from typing import Any

import pytest

from spanqa_server.settings import Settings
from unit.deploy.manifests import COMPOSE, ENVOY, LISTENERS, PODS, SERVICES, containers


@pytest.mark.parametrize("name", [*SERVICES])
def test_compose_gives_no_more_rights_than_needed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["profiles"], "would start with any profile"


def test_compose_keeps_triton_to_itself() -> None:
    triton = SERVICES["triton"]
    assert "ports" not in triton
    assert all(COMPOSE["networks"][name]["internal"] for name in triton["networks"])


def test_with_a_proxy_frontends_are_reached_through_it_alone() -> None:
    proxy = SERVICES["proxy"]
    for name in ("frontend-behind", "frontend-cpu-behind"):
        service = SERVICES[name]
        assert "ports" not in service
        assert all(COMPOSE["networks"][network]["internal"] for network in service["networks"])
        assert set(service["profiles"]) <= set(proxy["profiles"])
    [address] = endpoints("frontends")
    assert address["address"] in SERVICES["frontend-behind"]["networks"]["frontends"]["aliases"]
    assert address["port_value"] == Settings.model_fields["port"].default
    published = {listener["address"]["socket_address"]["port_value"] for listener in LISTENERS}
    [port] = [int(port.rpartition(":")[2]) for port in proxy["ports"]]
    assert published == {port, 9902}, "and what Prometheus reads"


def test_nobody_else_reaches_what_changes_the_proxy() -> None:
    assert ENVOY["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_the_proxy_lets_in_no_more_connections_than_a_frontend() -> None:
    [layer] = ENVOY["layered_runtime"]["layers"]
    limit = layer["static_layer"]["envoy.resource_limits.listener.grpc.connection_limit"]
    assert limit < Settings.model_fields["max_connections"].default


def endpoints(name: str) -> list[dict[str, Any]]:
    """The addresses of a cluster of the proxy."""
    [cluster] = [one for one in ENVOY["static_resources"]["clusters"] if one["name"] == name]
    [local] = cluster["load_assignment"]["endpoints"]
    return [one["endpoint"]["address"]["socket_address"] for one in local["lb_endpoints"]]


@pytest.mark.parametrize("name", [*SERVICES])
def test_what_a_container_writes_has_a_bound(name: str) -> None:
    service = SERVICES[name]
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert all("size=" in one for one in service.get("tmpfs", ()))


@pytest.mark.parametrize("pod", [*PODS.values()], ids=[*PODS])
def test_kubernetes_gives_no_more_rights_than_needed(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("pod", [*PODS.values()], ids=[*PODS])
def test_what_a_pod_writes_has_a_bound(pod: dict[str, Any]) -> None:
    for volume in pod["volumes"]:
        assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
