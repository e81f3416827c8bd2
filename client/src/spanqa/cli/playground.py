"""The command ``playground``: a local page to ask questions on."""

from __future__ import annotations

import asyncio
import webbrowser
from functools import partial
from typing import Annotated

import typer

from spanqa.cli.connection import Connection, connected
from spanqa.cli.failures import fail, remedy, service_failures

DEFAULT_PORT = 8051


@connected()
def playground(
    connection: Connection,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="The port of the page; 0 takes a free one."
        ),
    ] = DEFAULT_PORT,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve a local page to ask questions on, until Ctrl-C.

    Answers are marked in the text. Only this machine can open the page.
    """
    try:
        from spanqa.playground.serving import listen, page_url, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        fail(f"the playground needs {missing}: pip install 'spanqa[playground]'")
    try:
        listening = listen(port)
    except OSError as error:
        fail(f"port {port} cannot be used ({error.strerror}): name another with --port")
    with listening:
        url = page_url(listening)
        typer.echo(f"{url} asks the server at {connection.target}; Ctrl-C ends it")
        if open_browser:
            webbrowser.open(url)
        serving = serve(
            listening,
            connection.open_async,
            connection.target,
            partial(remedy, connection=connection),
        )
        try:
            with service_failures(connection):
                asyncio.run(serving)
        except KeyboardInterrupt:
            typer.echo()
