"""What is under docker/: the compose file, the manifests for Kubernetes, the proxy's file."""

from collections.abc import Iterator
from typing import Any

import yaml

from support.board import DOCKER, load

KUBERNETES = DOCKER / "kubernetes"
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
