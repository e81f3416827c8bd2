"""How many tokens Triton may have at a time: what it does in half a second."""

# Two batches of the embedded Triton. What is in Triton's queue cannot be put in another order any
# more, so a call behind it waits at least as long.
TARGET_SECONDS = 0.5
# The least that Triton gets, and what it gets before its speed is known: a few short
# windows. Larger batches are faster, since threads that each take some of the windows then end at
# about the same time. But a call with a short deadline cannot wait for one.
FEWEST_TOKENS, FEWEST_TOKENS_WITH_TIME = 512, 2048
MUCH_TIME_SECONDS = 20.0


class InFlightLimit:
    """Grows while answers come sooner than wanted, and shrinks while they come later.

    Within the time of one answer it at most doubles, and falls at most to what would have come in
    time. It changes only while work waits for it: else it is not what keeps Triton from more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.tokens: float = min(most, FEWEST_TOKENS)

    def answered(self, tokens: int, seconds: float, shortest_deadline: float) -> None:
        """So many tokens took so long at Triton, while others waited, who have so much time."""
        change = min(TARGET_SECONDS / max(seconds, 1e-3) - 1.0, 1.0)
        much_time = shortest_deadline >= MUCH_TIME_SECONDS
        fewest = min(self._most, FEWEST_TOKENS_WITH_TIME if much_time else FEWEST_TOKENS)
        self.tokens = min(self._most, max(fewest, self.tokens + tokens * change))
