"""Settings as command line options, in groups, each with its metavar and default."""

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import CliSettingsSource

from spanqa_server.triton_settings import GROUPS, TritonSettings


def add_options(parser: ArgumentParser, kind: type[TritonSettings]) -> CliSettingsSource[Any]:
    """Give a parser an option for each setting, in groups."""
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    fields = {flag(name): field for name, field in kind.model_fields.items()}

    def add_option(_: ArgumentParser, *flags: str, **options: Any) -> Any:
        if flags[0] not in fields:  # --help
            return parser.add_argument(*flags, **options)
        field = fields[flags[0]]
        options |= {"metavar": metavar(field), "help": help_text(field)}
        return groups[facts(field)["group"]].add_argument(*flags, **options)

    return CliSettingsSource(kind, root_parser=parser, add_argument_method=add_option)


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    return f"SPANQA_{name.upper()}"


def metavar(field: FieldInfo) -> str:
    text: str = facts(field)["metavar"]
    return text


def help_text(field: FieldInfo) -> str:
    return f"{field.description} Default: {default_text(field)}.".replace("%", "%%")


def default_text(field: FieldInfo) -> str:
    """The default as people write it: 16,384 and not 16384, true and not True."""
    text: str | None = facts(field)["default_text"]
    if text is not None:
        return text
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and metavar(field) != "PORT":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return value.as_posix() if isinstance(value, Path) else str(value)


def facts(field: FieldInfo) -> Mapping[str, Any]:
    """What `setting()` keeps beside pydantic's own."""
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra
