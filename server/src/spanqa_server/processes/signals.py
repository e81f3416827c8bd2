"""SIGTERM and SIGINT as an event that the work of a process waits for."""

import asyncio
import logging
import os
import signal

logger = logging.getLogger(__name__)


class Stop(asyncio.Event):
    """Set by SIGTERM, and by SIGINT, which comes from a terminal.

    A second signal ends the process at once, and with it those that it has started.
    """

    drain = False
    """Whether load balancers get time to notice: not after SIGINT."""

    def by_signal(self, number: signal.Signals) -> None:
        """Handle a signal."""
        if self.is_set():
            logger.warning("a second signal: ending at once")
            os._exit(128 + number)
        self.drain = number == signal.SIGTERM
        self.set()


def stop_signal() -> Stop:
    """Listen to signals from now on."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.by_signal, number)
    return stop
