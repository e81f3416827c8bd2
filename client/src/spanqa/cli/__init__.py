"""The command ``spanqa``; it needs the extra ``cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command; this is the entry point of the package."""
    try:
        from spanqa.cli.app import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        sys.exit(f"spanqa: the command line needs {missing}: pip install 'spanqa[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app()
