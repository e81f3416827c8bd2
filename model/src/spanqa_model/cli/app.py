"""All commands together."""

from typing import Annotated

import typer

from spanqa_model import __version__
from spanqa_model.cli.export import export_command
from spanqa_model.cli.finetune import finetune_command
from spanqa_model.cli.versions import (
    measured_command,
    promote_command,
    restore_command,
    versions_command,
    withdraw_command,
)

app = typer.Typer(
    help="Make model versions for SpanQA and manage them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spanqa-model {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=print_version, help="Print the program's version."
        ),
    ] = False,
) -> None:
    """The options before the command."""


app.command(name="export")(export_command)
app.command(name="versions")(versions_command)
app.command(name="promote")(promote_command)
app.command(name="measured")(measured_command)
app.command(name="withdraw")(withdraw_command)
app.command(name="restore")(restore_command)
app.command(name="finetune")(finetune_command)
