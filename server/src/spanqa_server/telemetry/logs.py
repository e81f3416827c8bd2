"""The log of this process."""

import logging
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from spanqa_server.telemetry import tracing

LogFormat = Literal["text", "json"]
CHATTY = ("asyncio", "grpc", "urllib3")
TEXT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
JSON = "%(levelname)s %(name)s %(message)s %(process)d"
JSON_NAMES = {"levelname": "level", "name": "logger", "exc_info": "exception"}


def set_up_logging(level: str, log_format: LogFormat) -> None:
    """Write lines of this level and above to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    handler.addFilter(add_ids)
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_news)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def is_news(record: logging.LogRecord) -> bool:
    """Not if gRPC tells, with a traceback, that a caller left before the reply was sent."""
    return "ExecuteBatchError" not in record.getMessage()


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Lines for people, or an object per line for programs."""
    if log_format == "text":
        return TextFormatter(TEXT)
    return JsonFormatter(JSON, rename_fields=JSON_NAMES, timestamp="time", json_ensure_ascii=False)


def add_ids(record: logging.LogRecord) -> bool:
    """Give a record of a call that is traced the ids of its trace and span."""
    if ids := tracing.ids():
        record.trace_id, record.span_id = ids
    return True


class TextFormatter(logging.Formatter):
    """Ends a line with the trace that it belongs to, where there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record)
        trace_id = getattr(record, "trace_id", None)
        return f"{line} trace_id={trace_id}" if trace_id else line
