"""The Triton that pytest's options name: one that runs, or a program that the tests start."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from spanqa_server.versions.repository import MODEL_NAME, ModelVersion, find_versions, load_version

GPU = Path("/dev/nvidia0")
USAGE = (
    "name a Triton: --triton HOST:PORT (one that runs), or --tritonserver PROGRAM and --backends "
    "DIRECTORY (the tests start it). `make test-triton` says more"
)


@dataclass(frozen=True, slots=True)
class Given:
    """What the options of pytest say: a Triton that runs, or a program to start."""

    address: str
    program: Path | None
    backends: Path
    repository: Path
    kind: str

    @classmethod
    def by_options(cls, config: pytest.Config) -> "Given":
        program, backends = config.getoption("--tritonserver"), config.getoption("--backends")
        return cls(
            address=config.getoption("--triton") or "",
            program=Path(program).absolute() if program else None,
            backends=Path(backends or "").absolute(),
            repository=Path(config.getoption("--triton-repository")).absolute(),
            kind=config.getoption("--kind") or ("gpu" if GPU.exists() else "cpu"),
        )

    def problem(self) -> str:
        """What is wrong with the options, or nothing."""
        if bool(self.address) == bool(self.program):
            return USAGE
        if self.program and not os.access(self.program, os.X_OK):
            return f"--tritonserver {self.program}: not a program"
        if self.program and not any((self.backends / "pytorch").glob("libtriton_pytorch*.so")):
            return f"--backends {self.backends}: no PyTorch backend in its directory pytorch"
        if not find_versions(self.repository):
            return f"--triton-repository {self.repository}: no model version in it"
        return ""

    @property
    def device(self) -> str:
        """What versions are exported for."""
        return "cuda" if self.kind == "gpu" else "cpu"

    def copy_repository(self, source: Path, directory: Path) -> Path:
        """The newest version as version 1, and the configuration for what this machine has."""
        repository = directory / "repository"
        model = repository / MODEL_NAME
        model.mkdir(parents=True)
        shutil.copytree(find_versions(source)[0].directory, model / "1")
        shutil.copytree(source / MODEL_NAME / "configs", model / "configs")
        configuration = (source / MODEL_NAME / "config.pbtxt").read_text(encoding="utf-8")
        if self.kind == "cpu":
            configuration = configuration.replace("KIND_GPU", "KIND_CPU")
        (model / "config.pbtxt").write_text(configuration, encoding="utf-8")
        return repository


def newest_version(repository: Path) -> ModelVersion:
    return load_version(find_versions(repository)[0].directory)
