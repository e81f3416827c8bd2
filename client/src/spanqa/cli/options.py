"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from spanqa import Options
from spanqa._inputs import OptionArguments
from spanqa.squad import Unit

TopK = Annotated[int, typer.Option(min=1, metavar="N", help="The largest number of answers.")]
AllowOverlap = Annotated[
    bool, typer.Option("--allow-overlap", help="Let answers share characters.")
]
MinProbability = Annotated[
    float,
    typer.Option(min=0, max=1, metavar="P", help="Leave out answers with a smaller probability."),
]
MaxAnswerTokens = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="The longest answer, in tokens. Without it, the server's: 30."
    ),
]
NoAnswer = Annotated[
    bool, typer.Option("--no-answer", help='Allow "no answer in this text" as a reply.')
]
Threshold = Annotated[
    float,
    typer.Option(
        metavar="LOGITS", help='How far "no answer" must score above the best span to win.'
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Questions = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Questions with their texts: SQuAD, MRQA, or rows as JSON, JSON lines, CSV or "
        "Parquet, packed or not; - is standard input.",
    ),
]
Concurrency = Annotated[
    int, typer.Option(min=1, max=4096, metavar="N", help="How many questions to ask at a time.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Use only the first N questions.")
]
ScoreBy = Annotated[
    Unit | None,
    typer.Option(
        help="What F1 counts. Default: characters if most gold answers are Chinese or Japanese.",
        show_default=False,
    ),
]


def answer_options(
    no_answer: bool, threshold: float, **options: Unpack[OptionArguments]
) -> Options:
    """The options of a call, from those of a command."""
    if threshold and not no_answer:
        raise typer.BadParameter("needs --no-answer", param_hint="'--no-answer-threshold'")
    options |= {"allow_no_answer": no_answer, "no_answer_threshold": threshold}
    return Options(**options)
