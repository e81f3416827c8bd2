"""Our answers against the recipe's, from the logits of the exported model: equal, or explained."""

from collections.abc import Callable, Iterator

import pytest

from benchmarks.common.squad import SQUAD_DEV
from parity.conftest import require_squad
from parity.decoding import Agreement, Case, Reason, agreement, cases, compare, scores
from parity.reference import Pair, exported_model, squad_pairs
from parity.texts import generated, pairs
from spanqa.squad import read_questions
from spanqa_model.checkpoints.presets import PRESETS

Say = Callable[[str], None]
LONGEST = 12
MARKED = [
    ("Where was she born?", f"She was born in {town}, lived in Cork and died in 1912.")
    for town in ("Malmo\u0308", "Nha\u0302\u0301 Be\u0300", "Stre\u0301\u030c")
]
# What the whole dev set has to reach: share of equal answers, and points of EM and F1.
LEAST_EQUAL = 0.999
MOST_POINTS = 0.05

Ask = Callable[[list[Pair]], list[Case]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Runs the exported model on questions."""
    with exported_model(PRESETS["minilm-squad"], "float32") as (module, version):
        yield lambda questions: list(cases(module, version, questions))


def assert_explained(asked: list[Case], say: Say) -> Agreement:
    counted = agreement([compare(case) for case in asked])
    say(f"recipe: {counted}")
    assert Reason.OTHER not in counted.reasons
    assert counted.equal_places, "a reference that always differs explains nothing"
    return counted


def test_texts_made_up(ask: Ask, say: Say) -> None:
    """Texts like articles, and texts of many scripts, in one to several windows."""
    strange = [(generated(seed + 100, 10), generated(seed, 20 + 30 * seed)) for seed in range(12)]
    asked = ask([*pairs(), *MARKED, *strange])
    for case in asked:
        tokens = case.prepared.context
        assert (tokens.starts < tokens.ends).all(), "the recipe takes tokens without characters"
    assert assert_explained(asked, say).reasons[Reason.MARKS] >= len(MARKED)


@pytest.mark.slow
def test_squad_questions(ask: Ask, say: Say) -> None:
    """Some with the longest contexts, which take several windows; the others evenly spread."""
    require_squad()
    longest = sorted(squad_pairs(), key=lambda pair: -len(pair[1]))[:LONGEST]
    assert_explained(ask(longest + squad_pairs(200 - LONGEST)), say)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_squad_questions_score_as_with_the_recipe(ask: Ask, say: Say) -> None:
    require_squad()
    questions = read_questions(SQUAD_DEV)
    asked = ask([(question.question, question.context) for question in questions])
    compared = [compare(case) for case in asked]
    golds = [question.answers for question in questions]
    ours = scores([pair.ours for pair in compared], golds)
    theirs = scores([pair.theirs for pair in compared], golds)
    counted = agreement(compared)
    say(f"{len(questions):,} SQuAD dev questions: ours {ours}; the recipe {theirs}; {counted}")
    assert ours == pytest.approx(theirs, abs=MOST_POINTS)
    assert min(counted.equal_places, counted.equal_texts) >= LEAST_EQUAL * len(questions)
    assert Reason.OTHER not in counted.reasons
