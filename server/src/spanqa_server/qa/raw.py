"""Raw results: what a caller needs to decode alone."""

import numpy as np
import numpy.typing as npt

from spanqa_server.qa.layout import Layout
from spanqa_server.qa.offsets import Integers, OffsetUnit, convert_offsets
from spanqa_server.qa.requests import Question
from spanqa_server.qa.results import TokenWindow
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText
from spanqa_server.qa.windows import PackedWindows

SPECIAL, QUESTION, CONTEXT = 0, 1, 2


def read_windows(
    request: Question,
    question: TokenizedText,
    layout: Layout,
    packed: PackedWindows,
    starts: npt.NDArray[np.float32],
    ends: npt.NDArray[np.float32],
    tokenizer: TextTokenizer,
) -> list[TokenWindow]:
    """The windows of a question about one text, token by token; logits float32 [T] each."""
    unit = request.options.unit
    (context,) = request.texts
    question_places = places(request.question, question, unit)
    context_places = places(context, layout.tokens, unit)
    zero = np.zeros((2, 1), dtype=np.int64)
    windows = []
    begin = 0
    plan = zip(layout.plan.starts.tolist(), layout.plan.ends.tolist(), strict=True)
    for (first, last), length in zip(plan, packed.window_lengths.tolist(), strict=True):
        here = slice(begin, begin + length)
        begin += length
        parts = (zero, question_places, zero, context_places[:, first:last], zero)
        window_starts, window_ends = np.concatenate(parts, axis=1).tolist()
        kinds = (SPECIAL, QUESTION, SPECIAL, CONTEXT, SPECIAL)
        windows.append(
            TokenWindow(
                token_ids=packed.input_ids[here].tolist(),
                tokens=tokenizer.pieces(packed.input_ids[here]),
                sequence_ids=np.repeat(kinds, [part.shape[1] for part in parts]).tolist(),
                starts=window_starts,
                ends=window_ends,
                start_logits=starts[here].tolist(),
                end_logits=ends[here].tolist(),
            )
        )
    return windows


def places(text: str, tokens: TokenizedText, unit: OffsetUnit) -> Integers:
    """Where each token starts and ends, [2, n], in `unit`."""
    return convert_offsets(text, np.stack((tokens.starts, tokens.ends)), unit)
