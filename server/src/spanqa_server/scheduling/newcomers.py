"""Callers with one piece of work, beside others with much: Triton is kept nearly free for them.

What is at Triton goes before whatever comes next. So while such callers come, those with much have
only a little there at a time. Where all have as much as each other, nobody is held back: larger
batches are faster.
"""

from collections import Counter
from collections.abc import Callable, Iterator

# In seconds of Triton's work: what is much to have under way, and how much of it those who have
# so much may have at Triton together, while others come.
MUCH_SECONDS, SECONDS_AT_TRITON = 0.25, 0.03
# Nobody is held back any more when none came for so long: small batches are slower.
EXPECTED_SECONDS = 1.0


class Newcomers:
    """Knows who has how much under way, waiting or at Triton, and whether newcomers come."""

    def __init__(
        self, clock: Callable[[], float], pace: Callable[[], float], *, preferred: bool = True
    ) -> None:
        """Nobody has anything under way.

        Args:
            clock: in seconds.
            pace: tells the tokens that Triton does in a second.
            preferred: whether they go before others at all.
        """
        self._clock = clock
        self._pace = pace
        self._preferred = preferred
        self._expected_until = clock()
        self._pieces: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._at_triton: Counter[str] = Counter()

    @property
    def expected(self) -> bool:
        """Whether one came lately, while somebody else had much under way."""
        return self._preferred and self._clock() < self._expected_until

    @property
    def share(self) -> float:
        """Tokens that those with much may have at Triton together."""
        return self._pace() * SECONDS_AT_TRITON

    def begin(self, caller: str, tokens: int) -> None:
        """A piece of work comes."""
        is_new = caller not in self._pieces
        if is_new and next(self._with_much(), None) is not None:
            self._expected_until = self._clock() + EXPECTED_SECONDS
        self._pieces[caller] += 1
        self._tokens[caller] += tokens

    def end(self, caller: str, tokens: int) -> None:
        """It is done, or given up."""
        self._pieces[caller] -= 1
        self._tokens[caller] -= tokens
        if not self._pieces[caller]:
            del self._pieces[caller], self._tokens[caller]

    def go(self, caller: str, tokens: int) -> None:
        """It goes to Triton."""
        self._at_triton[caller] += tokens

    def come_back(self, caller: str, tokens: int) -> None:
        """It was there."""
        self._at_triton[caller] -= tokens
        if not self._at_triton[caller]:
            del self._at_triton[caller]

    def is_one(self, caller: str) -> bool:
        """Whether a caller's piece of work is its only one, while others come with theirs."""
        return self._preferred and self._pieces[caller] == 1 and len(self._pieces) > 1

    def is_held_back(self, caller: str, tokens: int) -> bool:
        """Whether a piece of work has to wait although there is room for it."""
        if not self.yields(caller):
            return False
        there = sum(self._at_triton[one] for one in self._with_much())
        return there > 0 and there + tokens > self.share

    def yields(self, caller: str) -> bool:
        """Whether a caller has much while newcomers come: its work goes in small parts."""
        return self.expected and self._tokens[caller] > self._pace() * MUCH_SECONDS

    def _with_much(self) -> Iterator[str]:
        much = self._pace() * MUCH_SECONDS
        return (one for one, tokens in self._tokens.items() if tokens > much)
