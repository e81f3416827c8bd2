"""The entry point of the command ``spanqa``, outside the package, whose import loads gRPC."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command; Ctrl-C is quiet from the first moment on."""
    # gRPC reads this when it is imported. What it logs would stand between our own messages.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from spanqa.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()
