"""How much Triton gets at a time."""

import pytest

from spanqa_server.scheduling.in_flight import (
    FEWEST_TOKENS,
    FEWEST_TOKENS_WITH_TIME,
    TARGET_SECONDS,
    InFlightLimit,
)


@pytest.mark.parametrize(
    ("speed", "most", "expected"),
    [
        (8_000, 16_384, 4_000),
        (20_000, 16_384, 10_000),
        (1_000_000, 16_384, 16_384),
        (500, 16_384, FEWEST_TOKENS),
        (20_000, 500, 500),
    ],
)
def test_the_limit_becomes_what_is_done_in_half_a_second(
    speed: float, most: int, expected: int
) -> None:
    limit = InFlightLimit(most)
    for _ in range(300):  # a Triton that does so many tokens a second, and is kept busy
        limit.answered(170, limit.tokens / speed, 5.0)
    assert limit.tokens == pytest.approx(expected, rel=0.05)


def test_a_slow_triton_gets_larger_batches_while_all_have_much_time() -> None:
    limit = InFlightLimit(16_384)
    for deadline, fewest in ((60.0, FEWEST_TOKENS_WITH_TIME), (10.0, FEWEST_TOKENS)):
        for _ in range(100):
            limit.answered(170, limit.tokens / 500, deadline)
        assert limit.tokens == fewest


def test_a_fast_triton_is_found_out_within_a_few_answers() -> None:
    limit = InFlightLimit(16_384)
    answers = 0
    while limit.tokens < 16_384:
        limit.answered(512, TARGET_SECONDS / 100, 5.0)
        answers += 1
    assert answers <= 32, "of windows; it doubles in the time of one answer"


def test_one_late_answer_takes_at_most_its_own_tokens() -> None:
    limit = InFlightLimit(16_384)
    for _ in range(20):
        limit.answered(512, TARGET_SECONDS / 100, 5.0)
    before = limit.tokens
    limit.answered(170, 60.0, 5.0)
    assert before - 170 <= limit.tokens < before
