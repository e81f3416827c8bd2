"""Signals that end a process, as an event that its work waits for."""

import asyncio
import logging
import os
import signal
import sys

logger = logging.getLogger(__name__)


class Stop(asyncio.Event):
    """Set by SIGTERM, by SIGINT, which comes from a terminal, and where a terminal is closed.

    A second signal ends the process at once, and with it those that it has started.
    """

    drain = False
    """Whether load balancers get time to notice: not after SIGINT."""

    def by_signal(self, number: signal.Signals) -> None:
        """Handle a signal."""
        if self.is_set():
            logger.warning("a second signal: ending at once")
            os._exit(128 + number)
        self.drain = number != signal.SIGINT
        self.set()


def stop_signal() -> Stop:
    """Listen to signals from now on."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.by_signal, number)
    # Now: later the terminal may be gone.
    in_terminal = sys.stdin is not None and sys.stdin.isatty()
    loop.add_signal_handler(signal.SIGHUP, hang_up, stop, in_terminal)
    return stop


def hang_up(stop: Stop, in_terminal: bool) -> None:
    """By default SIGHUP would end the process without a drain."""
    if not in_terminal:
        logger.info("SIGHUP has no effect: changed files are read again without it")
    elif not stop.is_set():  # closing a terminal sends it twice
        stop.by_signal(signal.SIGHUP)
