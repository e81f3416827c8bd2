"""Prints docs/settings.md: `python -m spanqa_server.cli.reference > docs/settings.md`."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from spanqa_server.cli.options import default_text, facts, flag, metavar, variable
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GROUPS, GateSettings, TritonSettings

HEAD = """\
# Settings

Every setting of `spanqa-server serve` and `spanqa-server gate`. This page is generated from the
code (`make settings`), and a test fails if the two differ.

Each setting is a flag and an environment variable; the flag wins. The server does not start with an
unknown variable that begins with `SPANQA_`; the message suggests the nearest valid name. There are
two exceptions: the variables of the client's command line (such as `SPANQA_TARGET`) are accepted,
and those that Kubernetes sets for a service (such as `SPANQA_X_SERVICE_HOST`) are ignored.

`gate` has the settings marked with †, and `--view`, which `serve` does not have.
"""


def reference() -> str:
    """The page."""
    return "\n".join([HEAD, *(line for group in GROUPS for line in section(group))])


def section(group: str) -> Iterator[str]:
    fields = {**Settings.model_fields, **GateSettings.model_fields}
    yield f"## {group[0].upper()}{group[1:]}"
    yield ""
    yield "| flag, variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in fields.items():
        if facts(field)["group"] == group:
            yield row(name, field)
    yield ""


def row(name: str, field: FieldInfo) -> str:
    mark = " †" if name in TritonSettings.model_fields else ""
    default = default_text(field)
    # With a comma it is for people to read, not to copy.
    cell = default if "," in default or facts(field)["default_text"] else f"`{default}`"
    text = f"{field.description}{bounds(field)}"
    return f"| `{flag(name)}`{mark}<br>`{variable(name)}` | {cell} | {text} |"


def bounds(field: FieldInfo) -> str:
    """A sentence with the least and the greatest value, where they are not obvious."""
    signs = {"ge": "at least", "gt": "more than", "le": "at most"}
    limits = [
        f"{words} {value:,g}"
        for name, words in signs.items()
        for one in field.metadata
        if (value := getattr(one, name, None)) and value < 1e6
    ]
    if not limits or metavar(field) in ("PORT", "RATIO"):
        return ""
    sentence = ", ".join(limits)
    return f" {sentence[0].upper()}{sentence[1:]}."


if __name__ == "__main__":
    print(reference(), end="")
