"""The wheel nvidia-pytriton: where its tritonserver is, and the Python backend beside it."""

import sys
import sysconfig
from pathlib import Path

from spanqa_server.errors import StartupError
from spanqa_server.triton.repository_view import link


def pytriton_package() -> Path:
    """The directory with the program.

    Raises:
        StartupError: the wheel is not installed.
    """
    for entry in dict.fromkeys((sysconfig.get_path("platlib"), *sys.path)):
        package = Path(entry or ".") / "pytriton" / "tritonserver"
        if (package / "bin" / "tritonserver").is_file():
            return package
    raise StartupError(
        "the embedded Triton is not installed (wheel nvidia-pytriton, Linux x86-64 only): "
        "pip install 'spanqa-server[embedded]', or name a Triton server with --triton HOST:PORT"
    )


def link_backend(package: Path, directory: Path) -> None:
    """Lay out a directory of backends, with the stub of the running Python version.

    Raises:
        StartupError: the wheel has no stub for it.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = package / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise StartupError(
            f"nvidia-pytriton has no Triton stub for Python {version}: use Python 3.11 or 3.12, "
            "or name a Triton server with --triton HOST:PORT"
        )
    backend = directory / "python"
    backend.mkdir(parents=True, exist_ok=True)
    for file in (*(package / "backends" / "python").iterdir(), stub):
        if file.is_file():
            link(backend / file.name, file)
