"""The command `spanqa-server`."""

import argparse
import asyncio
import logging
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from spanqa_server.errors import StartupError
from spanqa_server.service import serve
from spanqa_server.settings import Settings


def main() -> None:
    """Run the command; every foreseen failure is one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="spanqa-server", description="The SpanQA server.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve_parser = commands.add_parser(
        "serve", help="Serve the newest model version.", description=Settings.__doc__
    )
    source: CliSettingsSource[Settings] = CliSettingsSource(Settings, root_parser=serve_parser)
    arguments = parser.parse_args()
    del arguments.command
    try:
        settings = CliApp.run(Settings, cli_args=arguments, cli_settings_source=source)
    except ValidationError as error:
        sys.exit(f"spanqa-server: {describe(error)}")
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("asyncio", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        asyncio.run(serve(settings))
    except StartupError as error:
        sys.exit(f"spanqa-server: {error}")


def describe(error: ValidationError) -> str:
    """The settings that are wrong, each with its flag and what it must be."""
    parts = []
    for item in error.errors():
        name = str(item["loc"][0]).replace("_", "-")
        parts.append(f"--{name} {item['input']!r}: {item['msg']}")
    return "; ".join(parts)
