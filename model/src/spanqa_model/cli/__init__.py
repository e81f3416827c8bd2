"""The command `spanqa-model`."""

import sys

from spanqa_model.errors import ModelError


def main() -> None:
    """Run the command. Every expected failure is one line on stderr and exit code 1."""
    try:
        from spanqa_model.cli.app import app  # imports torch, which takes seconds
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    except ModelError as error:
        sys.exit(f"spanqa-model: {error}")
