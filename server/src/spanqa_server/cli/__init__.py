"""The command `spanqa-server`."""

from spanqa_server.cli.main import process

__all__ = ["process"]
