"""What a line of the log looks like, in both formats."""

import json
import logging
import os
import re
import sys
from datetime import datetime
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from spanqa_server.telemetry import logs, tracing

RFC_3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00"


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("spanqa_server.x", logging.WARNING, "x.py", 1, message, args, None)
    vars(made).update(more)
    assert logs.add_ids(made)
    return made


def fields(made: logging.LogRecord) -> dict[str, Any]:
    line = logs.formatter("json").format(made)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_text() -> None:
    line = logs.formatter("text").format(record("%d of é", 3))
    assert re.fullmatch(rf"[\d-]+ [\d:,]+ {os.getpid()} WARNING spanqa_server\.x: 3 of é", line)


def test_json_has_the_same_fields_always() -> None:
    told = fields(record("%d of\n'é'", 3))
    assert re.fullmatch(RFC_3339, told["time"])
    assert datetime.fromisoformat(told.pop("time"))
    assert told == {
        "level": "WARNING",
        "logger": "spanqa_server.x",
        "message": "3 of\n'é'",
        "process": os.getpid(),
    }


def test_json_has_the_text_of_an_exception() -> None:
    try:
        raise KeyError("odd")
    except KeyError:
        failed = record("failed", exc_info=sys.exc_info())
    assert "KeyError: 'odd'" in fields(failed)["exception"]
    assert "KeyError: 'odd'" in logs.formatter("text").format(failed)


def test_both_name_the_trace_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    assert "trace_id" not in fields(record("outside"))
    with provider.get_tracer("test").start_as_current_span("call"):
        ids = tracing.ids()
        made = record("inside")
    assert ids is not None
    assert logs.formatter("text").format(made).endswith(f": inside trace_id={ids[0]}")
    told = fields(made)
    assert (told["trace_id"], told["span_id"]) == ids
