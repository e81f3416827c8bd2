"""The engines' packages, in a directory beside .venv: `make bench-engines`."""

from __future__ import annotations

import sys

from benchmarks import ROOT

PACKAGES = ROOT / ".cache" / "engines"
HOW_TO_INSTALL = "`make bench-engines` installs OpenVINO and ONNX Runtime"


def installed() -> bool:
    """Whether `make bench-engines` has run to its end."""
    return (PACKAGES / ".installed").is_file()


def use_packages() -> None:
    """Make them importable; what .venv has too comes from .venv."""
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
