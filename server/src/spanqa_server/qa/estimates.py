"""How much work a request is, before it is tokenized."""

from spanqa_server.qa.offsets import utf8_size
from spanqa_server.qa.requests import Limits, ModelDefaults, Question
from spanqa_server.qa.windows import SPECIAL_TOKENS, count_windows


def estimate_tokens(*texts: str) -> int:
    """About how many tokens texts have, without tokenizing them.

    English has four characters a token, of one byte each; other scripts have two or three bytes
    a character, and Chinese, with three, is one token a character.
    """
    characters = sum(map(len, texts))
    extra = sum(map(utf8_size, texts)) - characters
    return 1 + (2 * characters + 3 * extra) // 8


def estimate_window_tokens(request: Question, limits: Limits, model: ModelDefaults) -> int:
    """About how many tokens all windows of a request have together.

    A large overlap makes many windows of a short text. Of windows that are refused in any case,
    only as many count as are not.
    """
    options = request.options
    # Too long an estimate would make too many windows of a large overlap. Too short is safe:
    # the count corrects it.
    question = 1 + estimate_tokens(request.question) // 4
    sequence = options.max_sequence_tokens or model.max_sequence_tokens
    room = max(sequence - question - SPECIAL_TOKENS, 1)
    default = model.doc_stride_tokens
    doc_stride = options.doc_stride_tokens or (default if default < room else room // 2)
    texts = [estimate_tokens(text) for text in request.texts]
    windows, tokens = count_windows(texts, room, min(doc_stride, room - 1), question)
    return min(tokens, windows * sequence) * min(windows, limits.max_windows) // windows
