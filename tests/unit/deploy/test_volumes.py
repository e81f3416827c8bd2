"""All containers find the same files: the repository, Triton's view of it, what compose mounts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.board import DOCKER
from unit.deploy.manifests import (
    COMPOSE,
    KUBERNETES,
    KUSTOMIZATION,
    PODS,
    SERVICES,
    containers,
    environments,
)


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
