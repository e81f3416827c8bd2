"""The program of one worker: `python -m spanqa_server.workers.child`."""

import asyncio
import json
import os
import sys

from spanqa_server.app import serve
from spanqa_server.errors import StartupError
from spanqa_server.processes.ending import run_as_process
from spanqa_server.settings import Settings
from spanqa_server.telemetry.logs import set_up_logging
from spanqa_server.triton.embedded.cpu import this_cpu

TASK = "SPANQA_WORKER_TASK"
"""The environment variable with a worker's settings, in JSON."""


def main() -> None:
    """Serve with the settings of the parent."""
    task = json.loads(os.environ.pop(TASK))
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
