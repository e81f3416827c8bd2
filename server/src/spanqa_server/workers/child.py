"""The program of one worker: `python -m spanqa_server.workers.child '{"settings": …}'`."""

import asyncio
import json
import sys

from spanqa_server.app import serve
from spanqa_server.errors import StartupError
from spanqa_server.processes.ending import run_as_process
from spanqa_server.settings import Settings
from spanqa_server.telemetry.logs import set_up_logging
from spanqa_server.triton.embedded.cpu import this_cpu


def main() -> None:
    """Serve with the settings that the first argument holds, in JSON."""
    task = json.loads(sys.argv[1])
    settings = Settings(**task["settings"])
    set_up_logging(settings.log_level, settings.log_format)
    machine = this_cpu() if task["embedded"] else None
    work = serve(settings, shared_port=True, replacement=task["replacement"], machine=machine)
    try:
        asyncio.run(work)
    except StartupError as error:
        sys.exit(f"spanqa-server: {error}")


if __name__ == "__main__":
    run_as_process(main)
