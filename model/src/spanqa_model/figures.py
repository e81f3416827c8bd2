"""What was measured of a model: exact match and F1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Figures:
    """Exact match and F1 in percent; None where nothing was measured."""

    exact_match: float | None = None
    f1: float | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Those in a JSON object. What is no number from 0 to 100, such as NaN, counts as None."""
        return cls(percent(content.get("exact_match")), percent(content.get("f1")))

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return self.exact_match is not None or self.f1 is not None


def percent(value: object) -> float | None:
    """A number from 0 to 100; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 100 else None


def odd_figures(content: Mapping[str, Any]) -> str:
    """The figures in a JSON object that are no numbers from 0 to 100; servers refuse them."""
    given = (name for name in ("exact_match", "f1") if content.get(name) is not None)
    return " and ".join(name for name in given if percent(content[name]) is None)
