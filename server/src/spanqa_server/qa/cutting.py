"""Where a long text can be cut so that its parts give the same tokens as the whole.

What the tokenizer makes of a text takes hundreds of bytes a token until it is converted. Part by
part, it takes that of a part.
"""

import re
import string
from collections.abc import Iterator
from unicodedata import category, ucd_3_2_0

# Where there is punctuation; what an old version of Unicode and the present one agree on.
BLOCKS = (range(0x80, 0x3100), range(0xFE10, 0xFF70))
MARKS = string.punctuation + "".join(
    chr(code)
    for block in BLOCKS
    for code in block
    if category(chr(code))[0] == ucd_3_2_0.category(chr(code))[0] == "P"
)
HAN = "\u3400-\u4db5\u4e00-\u9fa5\U00020000-\U0002a6d6"
# BERT cuts around each of these, and each begins anew for the normalizer, too.
BEFORE_MARK = re.compile(rf"[ \t\n\r{re.escape(MARKS)}]")
BEFORE_MARK_OR_HAN = re.compile(rf"{BEFORE_MARK.pattern}|(?<=[{HAN}])[{HAN}]")


def cut(text: str, size: int, *, in_han: bool) -> Iterator[tuple[int, str]]:
    """Parts of at least `size` characters, except the last one, and where each begins.

    Args:
        text: for a tokenizer that takes words apart (`words.py`).
        size: a part is longer where a word is.
        in_han: the tokenizer takes Chinese characters apart.
    """
    places = BEFORE_MARK_OR_HAN if in_han else BEFORE_MARK
    begin = 0
    while begin < len(text):
        found = places.search(text, begin + size)
        end = found.start() if found else len(text)
        yield begin, text[begin:end]
        begin = end
