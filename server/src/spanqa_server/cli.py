"""The entry point of `spanqa-server`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the first moment on."""
    try:
        from spanqa_server.commands import run  # importing it takes half a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)
