"""Results as text; the GPU host may have no library for that."""

from __future__ import annotations

from gpu.runner import Result

# In the JSON only; the reason of a failure is long and goes to the end of its line.
OMITTED = {"failed", "fastest_ms", "slowest_ms", "rounds", "warm_up_seconds", "logit_deviation"}


def table(name: str, result: Result) -> str:
    """Rows below each other, a column for each thing that any of them says."""
    title = f"\n{name}: {result.status}" + (f": {result.reason}" if result.reason else "")
    if not result.rows:
        return title
    columns = list(dict.fromkeys(key for row in result.rows for key in row if key not in OMITTED))
    lines = [[column.replace("_", " ") for column in columns]]
    lines += [[cell(row.get(column, "")) for column in columns] for row in result.rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    numeric = [
        all(not isinstance(row.get(column, 0), str) for row in result.rows) for column in columns
    ]
    reasons = [
        "",
        *(f"  FAILED: {row['failed']}" if "failed" in row else "" for row in result.rows),
    ]
    told = []
    for line, reason in zip(lines, reasons, strict=True):
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        told.append("  ".join(cells).rstrip() + reason)
    return "\n".join([title, *told])


def cell(value: str | int | float) -> str:
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
