"""A small real BERT tokenizer: word pieces, the BERT normalizer, [CLS] and [SEP]."""

import string
import unicodedata

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "a", "light", "keeper", "who", "was", "first", "in", "north", "sea", "Anna", "Lake"]
HANGUL = "한국어 등대"
# Decomposed, as an uncased BERT sees them: every syllable becomes two or three pieces.
JAMO = sorted(set(unicodedata.normalize("NFD", HANGUL)) - {" "})
CHARACTERS = [*string.ascii_letters, *string.digits, *"éüñßжשا東京😀", *JAMO]


def make_tokenizer(*, lowercase: bool, more_words: int = 0) -> Tokenizer:
    """Cased, or uncased with accents stripped; `more_words` are w0, w1, …"""
    pieces = [*SPECIAL, *string.punctuation, *WORDS, *map(str.lower, WORDS), *CHARACTERS]
    pieces += [f"##{character}" for character in CHARACTERS]
    pieces += [f"w{number}" for number in range(more_words)]
    numbers = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"])
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer
