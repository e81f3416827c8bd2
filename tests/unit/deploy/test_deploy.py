"""The files under docker/ name settings, metrics and times that the server has, and images."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GateSettings
from spanqa_server.workers.parent import END_SECONDS
from support.board import DOCKER, ROOT, board_expressions, declared, load
from unit.deploy.manifests import (
    FRONTENDS,
    KUSTOMIZATION,
    MANIFESTS,
    PODS,
    SERVICES,
    containers,
    environments,
)

# https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
TRITON_METRICS = {
    *(f"nv_inference_{name}" for name in ("request_success", "request_failure", "count")),
    *(f"nv_inference_{name}" for name in ("exec_count", "pending_request_count")),
    *(f"nv_inference_{name}_duration_us" for name in ("request", "queue", "compute_input")),
    *(f"nv_inference_compute_{name}_duration_us" for name in ("infer", "output")),
    *("nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes"),
}
SUFFIXES = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}


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
