"""The commands of `spanqa-server`."""

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Coroutine
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from spanqa_server.cli.environment import check_environment
from spanqa_server.cli.health import add_health_options, check_health
from spanqa_server.cli.options import add_options, flag
from spanqa_server.errors import StartupError
from spanqa_server.settings import Settings
from spanqa_server.telemetry.logs import set_up_logging
from spanqa_server.triton_settings import GateSettings, TritonSettings

logger = logging.getLogger(__name__)

KINDS: dict[str, tuple[type[TritonSettings], str]] = {
    "serve": (Settings, "Serve the newest model version."),
    "gate": (GateSettings, "Keep broken model versions away from a Triton of your own."),
}


def run() -> None:
    """Run the command; every foreseen failure is one line on stderr and exit code 1."""
    parser = ArgumentParser(prog="spanqa-server", description="The SpanQA server.")
    parser.add_argument(
        "--version",
        action="version",
        version=f"spanqa-server {version('spanqa-server')}",
        help="Print the program's version.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sources: dict[str, CliSettingsSource[Any]] = {}
    for name, (kind, summary) in KINDS.items():
        one = commands.add_parser(
            name,
            help=summary,
            usage=f"spanqa-server {name} [--some-name VALUE]...",
            description=cleandoc(kind.__doc__ or ""),
            formatter_class=RawDescriptionHelpFormatter,
        )
        sources[name] = add_options(one, kind)
    add_health_options(
        commands.add_parser(
            "health",
            help="Exit with 0 if a server is SERVING.",
            description="Ask a server whether it is SERVING, and exit with 0 if it is.",
        )
    )
    arguments = parser.parse_args()
    if arguments.command == "health":
        sys.exit(check_health(arguments))
    source, (kind, _) = sources[arguments.command], KINDS[arguments.command]
    del arguments.command
    try:
        check_environment(os.environ)
        settings = CliApp.run(kind, cli_args=arguments, cli_settings_source=source)
        set_up_logging(settings.log_level, settings.log_format)
        asyncio.run(work(settings))
    except ValidationError as error:
        sys.exit(f"spanqa-server: {describe(error)}")
    except StartupError as error:
        sys.exit(f"spanqa-server: {error}")


def work(settings: TritonSettings) -> Coroutine[Any, Any, None]:
    """The work of the command that has these settings."""
    # Slow to import, and not needed for help.
    from spanqa_server.app import keep_gate, serve
    from spanqa_server.workers.parent import serve_with_workers

    if isinstance(settings, GateSettings):
        return keep_gate(settings)
    assert isinstance(settings, Settings)
    if settings.exposure:
        logger.warning("%s", settings.exposure)
    return serve(settings) if settings.workers == 1 else serve_with_workers(settings)


def describe(error: ValidationError) -> str:
    """The settings that are wrong: the flag of each, its value, and what it must be."""
    parts = []
    for item in error.errors():
        if not item["loc"]:  # of several settings together, which it names itself
            parts.append(item["msg"].removeprefix("Value error, "))
            continue
        parts.append(f"{flag(str(item['loc'][0]))} {item['input']!r}: {item['msg']}")
    return "; ".join(parts)
