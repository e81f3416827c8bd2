"""The server with admission control off: `python -m benchmarks.production.without_admission serve`."""

import math

from spanqa_server.cli import process
from spanqa_server.scheduling import refusals

if __name__ == "__main__":
    refusals.PATIENCE = refusals.OVERLOADED_PATIENCE = math.inf
    process()
