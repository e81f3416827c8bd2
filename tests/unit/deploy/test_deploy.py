"""The files under docker/ agree with the server: its settings, its metrics, its ports and times."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GateSettings
from spanqa_server.workers.parent import END_SECONDS
from support.board import BOARD, DOCKER, ROOT, RULES, board_expressions, declared, load

KUBERNETES = DOCKER / "kubernetes"
GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")

# https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
TRITON_METRICS = {
    *(f"nv_inference_{name}" for name in ("request_success", "request_failure", "count")),
    *(f"nv_inference_{name}" for name in ("exec_count", "pending_request_count")),
    *(f"nv_inference_{name}_duration_us" for name in ("request", "queue", "compute_input")),
    *(f"nv_inference_compute_{name}_duration_us" for name in ("infer", "output")),
    *("nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes"),
}
SUFFIXES = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}

COMPOSE = load(DOCKER / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
FRONTENDS = ("frontend", "frontend-cpu", "frontend-behind", "frontend-cpu-behind")
KUSTOMIZATION = load(KUBERNETES / "kustomization.yaml")
ENVOY = load(DOCKER / "envoy" / "envoy.yaml")
LISTENERS = ENVOY["static_resources"]["listeners"]
MANIFESTS = [
    document
    for name in KUSTOMIZATION["resources"]
    for document in yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))
]
PODS = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if manifest["kind"] in ("Deployment", "Job")
}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    for name, service in SERVICES.items():
        values = service.get("environment", {})
        # Those without a value come from the shell.
        yield f"compose {name}", {k: value for k, value in values.items() if value is not None}
    for name, pod in PODS.items():
        for container in pod["containers"]:
            values = {one["name"]: one.get("value", "") for one in container.get("env", ())}
            yield f"kubernetes {name} {container['name']}", values


def texts() -> list[Path]:
    return sorted(path for path in DOCKER.rglob("*") if path.is_file())


def expressions() -> Iterator[tuple[str, str]]:
    yield from board_expressions()
    for rule in load(DOCKER / "prometheus" / "adapter.yaml")["externalRules"]:
        yield "adapter", rule["seriesQuery"]
    for manifest in MANIFESTS:
        if manifest["kind"] == "HorizontalPodAutoscaler":
            for metric in manifest["spec"]["metrics"]:
                yield "autoscaler", metric.get("external", {}).get("metric", {}).get("name", "")


def known_series() -> set[str]:
    return TRITON_METRICS | {
        name + suffix for name, kind in declared().items() for suffix in SUFFIXES[kind]
    }


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(DOCKER)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = re.findall(r"\bSPANQA_([A-Z_]+)", path.read_text(encoding="utf-8"))
    assert {name.lower() for name in named} <= {*Settings.model_fields, *GateSettings.model_fields}


@pytest.mark.parametrize(("name", "values"), [*environments()])
def test_every_setting_has_a_value_that_is_taken(
    name: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {variable: value for variable, value in values.items() if "SPANQA_" in variable}
    for variable, value in named.items():
        monkeypatch.setenv(variable, value)
    fields = {variable.removeprefix("SPANQA_").lower() for variable in named}
    settings = GateSettings if name.endswith("gate") else Settings
    assert fields <= settings.model_validate({}).model_fields_set


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_every_metric_that_is_asked_for_exists(where: str, expression: str) -> None:
    assert set(re.findall(r"\b(?:spanqa|nv)_\w+", expression)) <= known_series()


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in GUIDE, "not in docs/deployment.md"


def test_the_board_is_sound() -> None:
    numbers = [panel["id"] for panel in BOARD["panels"]]
    places = [tuple(panel["gridPos"].values()) for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(set(places)) == len(numbers)
    datasource = load(DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    assert datasource["datasources"][0]["type"] == BOARD["templating"]["list"][0]["query"]


def test_every_panel_says_what_it_shows() -> None:
    for panel in BOARD["panels"]:
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_the_first_row_is_what_matters_most() -> None:
    kinds = [panel["type"] for panel in BOARD["panels"]]
    second_row = kinds.index("row", 1)
    first = BOARD["panels"][1:second_row]
    assert [panel["title"] for panel in first] == [
        *("Serving", "Answered per second", "Refused share"),
        *("Latency of answers, p99", "Wait for Triton, p95", "Saturation"),
    ]
    assert all(panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in first)


def test_thresholds_are_those_of_the_alerts() -> None:
    """A number behind "alert ... fires above" is in that alert's expression."""
    expressions = {rule["alert"]: rule["expr"] for rule in RULES}
    found = 0
    for panel in BOARD["panels"]:
        said = re.search(r"alert (\w+) fires (?:above|when more than) ([\d.]+)( %)?", str(panel))
        if said:
            limit = float(said[2]) / (100 if said[3] else 1)
            assert f"> {limit:g}" in expressions[said[1]]
            found += 1
    assert found == 5


def default(value: str) -> str:
    """Of a variable of compose, or the value itself."""
    return re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)


def images() -> list[str]:
    named = [default(service["image"]) for service in SERVICES.values() if "image" in service]
    retagged = {image["name"]: image["newTag"] for image in KUSTOMIZATION["images"]}
    for pod in PODS.values():
        for container in containers(pod):
            image = container["image"]
            named.append(f"{image}:{retagged[image]}" if image in retagged else image)
    for path in DOCKER.glob("*.Dockerfile"):
        named += re.findall(r"^ARG \w+_IMAGE=(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return named


def others_images() -> set[str]:
    return {image for image in images() if not image.startswith("spanqa-")}


@pytest.mark.parametrize("image", sorted(set(images())))
def test_every_image_has_an_exact_version(image: str) -> None:
    name, _, tag = image.rpartition(":")
    assert name
    assert re.match(r"v?\d+\.\d+", tag)


@pytest.mark.parametrize("path", [*DOCKER.glob("*.Dockerfile")], ids=lambda path: path.name)
def test_every_build_begins_with_an_image_that_may_be_named_by_digest(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    begun = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    variables = re.findall(r"^ARG (\w+_IMAGE)=", text, re.MULTILINE)
    assert {f"${{{name}}}" for name in variables} == set(begun)
    [arguments] = {
        frozenset(service["build"]["args"])
        for service in SERVICES.values()
        if service.get("build", {}).get("dockerfile") == f"docker/{path.name}"
    }
    assert set(variables) <= arguments


def test_digests_are_told_of_every_image_that_is_not_built_here(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "sha256:of-$4"\n')
    docker.chmod(0o755)
    told = subprocess.run(
        ["sh", "tools/digests.sh"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split("=") for line in told.stdout.splitlines())
    assert set(lines.values()) == {f"{image}@sha256:of-{image}" for image in others_images()}
    named = re.findall(r"\$\{(\w+_IMAGE):-", (DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert {*named, "PYTHON_IMAGE", "GO_IMAGE"} == set(lines)


def test_triton_is_new_enough_for_the_torch_that_exports() -> None:
    versions = {image.split(":")[1] for image in images() if "/tritonserver:" in image}
    assert len(versions) == 1, "compose and Kubernetes differ"
    assert versions.pop() >= "26.09"


def test_a_stop_waits_for_calls_to_end() -> None:
    times = [
        (SERVICES[name]["environment"], int(SERVICES[name]["stop_grace_period"].removesuffix("s")))
        for name in FRONTENDS
    ]
    [pod] = PODS["frontend"]["containers"]
    values = {one["name"]: one["value"] for one in pod["env"]}
    times.append((values, PODS["frontend"]["terminationGracePeriodSeconds"]))
    for values, seconds in times:
        calls = float(values["SPANQA_DRAIN_SECONDS"]) + float(values["SPANQA_SHUTDOWN_GRACE"])
        assert seconds > calls + END_SECONDS


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


def test_kubernetes_applies_every_manifest() -> None:
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == there


def repositories() -> Iterator[tuple[str, str]]:
    """Where each part looks for the model repository."""
    for path in sorted(DOCKER.glob("*.Dockerfile")):
        text = path.read_text(encoding="utf-8")
        for value in re.findall(r"(?:SPANQA_MODEL_REPOSITORY=|--repository )(\S+)", text):
            yield path.name, value
    for name, pod in PODS.items():
        for container in pod.get("initContainers", ()):
            [value] = re.findall(r"ls (\S+)/bert_qa/", container["command"][-1])
            yield f"kubernetes {name}", value


def test_all_look_for_the_same_repository() -> None:
    found = [*repositories()]
    assert {where for where, _ in found} == {
        *("cpu.Dockerfile", "exporter.Dockerfile", "frontend.Dockerfile"),
        "kubernetes frontend",
    }
    assert len({value for _, value in found}) == 1, found


def mounted(service: dict[str, Any]) -> list[str]:
    """Its volumes, but for the certificates, which are the operator's."""
    volumes = service.get("volumes", ())
    return [volume for volume in volumes if isinstance(volume, str)]


def volumes_of_models() -> Iterator[tuple[str, str]]:
    """Where the volume with the repository is mounted."""
    for name, service in SERVICES.items():
        for volume in mounted(service):
            if volume.startswith("models:"):
                yield f"compose {name}", volume.split(":")[1]
    for name, pod in PODS.items():
        for container in containers(pod):
            for mount in container["volumeMounts"]:
                if mount["name"] == "models":
                    assert "subPath" not in mount, "a mount of its own: nothing can be renamed"
                    yield f"kubernetes {name} {container['name']}", mount["mountPath"]


def test_the_volume_is_mounted_one_level_above_the_repository() -> None:
    """Versions are made and withdrawn beside it, by renames, which stay on one filesystem."""
    [repository] = {value for _, value in repositories()}
    found = [*volumes_of_models()]
    assert {where.split()[1] for where, _ in found} == {
        *("exporter", "triton", "gate", "frontend", "frontend-behind")
    }
    assert {value for _, value in found} == {str(Path(repository).parent)}


def test_triton_sees_the_view_that_its_gate_writes() -> None:
    script = (KUBERNETES / "triton.sh").read_text(encoding="utf-8")
    [view] = re.findall(r"\$\{MODEL_REPOSITORY:-(.*?)\}", script)
    environment = {where: values.get("SPANQA_VIEW") for where, values in environments()}
    assert environment["compose gate"] == environment["kubernetes triton gate"] == view
    assert f"view:{view}" in SERVICES["gate"]["volumes"]
    assert f"view:{view}:ro" in SERVICES["triton"]["volumes"]
    mounts = {
        container["name"]: [one for one in container["volumeMounts"] if one["name"] == "view"]
        for container in PODS["triton"]["containers"]
    }
    assert mounts == {
        "triton": [{"name": "view", "mountPath": view, "readOnly": True}],
        "gate": [{"name": "view", "mountPath": view}],
    }


def test_every_file_that_compose_mounts_is_there() -> None:
    for service in SERVICES.values():
        for volume in mounted(service):
            source = volume.split(":")[0]
            assert (
                (DOCKER / source).exists()
                if source.startswith(".")
                else (source in COMPOSE["volumes"])
            )
