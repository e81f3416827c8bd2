"""What was made of texts that came lately: a document is seldom asked a single question."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows the memory it takes."""

    @property
    def nbytes(self) -> int:
        """In bytes."""


T = TypeVar("T", bound=Sized)

# Shorter texts are tokenized in hardly more time than it takes to look them up.
SHORTEST_TEXT = 200
BYTES_OF_A_CHARACTER = 4  # the most that Python takes


class TextCache(Generic[T]):
    """The values of the texts that were used last, up to `capacity` bytes with the texts.

    `on_lookup` is called for each text that is looked up, with whether its value was kept.
    """

    def __init__(self, capacity: int, on_lookup: Callable[[bool], None]) -> None:
        self.capacity = capacity
        self.used = 0
        self._on_lookup = on_lookup
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, text: str) -> T | None:
        """The value of a text, if it is kept."""
        if len(text) < SHORTEST_TEXT:
            return None
        value = self._values.get(text)
        self._on_lookup(value is not None)
        if value is not None:
            self._values.move_to_end(text)
        return value

    def put(self, text: str, value: T) -> None:
        """Keep a value, in the place of those that were not used for longest."""
        size = size_of(text, value)
        if len(text) < SHORTEST_TEXT or size > self.capacity or text in self._values:
            return
        self._values[text] = value
        self.used += size
        while self.used > self.capacity:
            self.used -= size_of(*self._values.popitem(last=False))


def size_of(text: str, value: Sized) -> int:
    return value.nbytes + BYTES_OF_A_CHARACTER * len(text)
