"""The log of this process."""

import logging


def set_up_logging(level: str) -> None:
    """Write lines of this level and above to stderr."""
    logging.basicConfig(
        level=level, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("asyncio", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
