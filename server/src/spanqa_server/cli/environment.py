"""Refuses environment variables that look like settings and are none."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from spanqa_server.cli.options import variable
from spanqa_server.errors import StartupError
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GateSettings

PREFIX = "SPANQA_"
# One environment may serve several commands: `spanqa` reads these.
OF_THE_CLIENT = {
    f"SPANQA_{name}" for name in ("TARGET", "TOKEN", "TOKEN_FILE", "TLS", "CA", "CERT", "KEY")
}
KNOWN = OF_THE_CLIENT | {
    variable(name) for name in (*Settings.model_fields, *GateSettings.model_fields)
}
# Kubernetes gives each pod the addresses of the services in its namespace as variables, unless
# enableServiceLinks is false: for a service "spanqa-x", SPANQA_X_PORT=tcp://... and so on.
SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise StartupError if a variable has our prefix and no setting has its name."""
    wrong = [describe(name) for name in unknown(environment)]
    if wrong:
        raise StartupError("; ".join(wrong))


def unknown(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(environment.items()):
        is_link = SERVICE_LINK.search(name) or LINK_VALUE.match(value)
        if name.upper().startswith(PREFIX) and name.upper() not in KNOWN and not is_link:
            yield name


def describe(name: str) -> str:
    close = get_close_matches(name.upper(), sorted(KNOWN), n=1, cutoff=0.0)
    return f"unknown environment variable {name}; did you mean {close[0]}?"
