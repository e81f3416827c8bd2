"""File descriptors: as many as the process may have, and how many connections that allows."""

import logging
import resource

logger = logging.getLogger(__name__)

# For files, Triton, the log, metrics, and connections that are about to be closed.
RESERVED = 200


def raise_limit() -> int:
    """Let this process have as many descriptors as it may ask for; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # the kernel's own limit is lower
        return soft
    return hard


def connections_within(wanted: int, descriptors: int) -> int:
    """So many connections that the process never runs out of descriptors."""
    possible = max(descriptors - RESERVED, descriptors // 4)
    if possible >= wanted:
        return wanted
    logger.warning(
        "taking at most %d connections, not %d: this process may have only %d open files "
        "(ulimit -n)",
        *(possible, wanted, descriptors),
    )
    return possible
