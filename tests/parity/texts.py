"""Texts to compare on: a few that read like questions and articles, and generated ones."""

import random

PARAGRAPHS = [
    "The harbour of Ostmark was dug between 1871 and 1884 by some 3,400 labourers, most of whom "
    "came from the villages of the upper valley. Its two moles, 610 and 820 metres long, were "
    "built of granite from the quarries near Kell. When the railway arrived in 1889, grain soon "
    "replaced timber as the main export.",
    "Photosynthesis turns light into chemical energy. In the leaves of most plants, chlorophyll "
    "absorbs red and blue light, while green light is reflected. Water is split, oxygen is set "
    "free, and the hydrogen that remains reduces carbon dioxide to sugar in the Calvin cycle.",
    "Dr. Amélie Courtois-Březina (born 4 March 1952 in Liège) is a Belgian-Czech chemist. She "
    'studied at the École Normale Supérieure, where she wrote "Sur la catalyse des nitriles", and '
    "has led the Institute for Surface Chemistry in Brno since 1998. In 2011 she won the Lavoisier "
    "Medal, together with Kenji Mori (森 健二).",
    "Under the 1953 treaty, each side had to withdraw its troops within 90 days; prisoners were "
    "exchanged at three crossings. The commission, made up of officers from Sweden, Switzerland, "
    "Poland and Czechoslovakia, met 3,431 times. It cost about $2.5 million a year.",
    "A queue that grows without bound is a bug that has not happened yet. Servers therefore limit "
    "what they admit: they count the work in flight, turn away what they cannot finish in time, "
    "and say so early, so that clients can try elsewhere (or later, with some jitter).",
]
QUESTIONS = [
    "How long were the two moles of the harbour?",
    "What is reflected by leaves?",
    "With whom did she win the Lavoisier Medal in 2011?",
    "How many times did the commission meet?",
    "Why do servers limit what they admit, and what should they do with the work that they cannot "
    "finish in time?",
    "who?",
]
# First and last code point of a script, and how often a word is of it.
SCRIPTS = [
    (0x61, 0x7A, 12),  # Latin
    (0x41, 0x5A, 3),
    (0xC0, 0x24F, 3),  # with accents
    (0x370, 0x3FF, 1),  # Greek
    (0x400, 0x4FF, 2),  # Cyrillic
    (0x5D0, 0x5EA, 1),  # Hebrew
    (0x620, 0x64A, 1),  # Arabic
    (0x904, 0x939, 1),  # Devanagari
    (0x4E00, 0x9FFF, 1),  # Chinese
    (0x3041, 0x30FF, 1),  # Japanese kana
    (0xAC00, 0xD7A3, 1),  # Hangul
    (0x1F300, 0x1F64F, 1),  # pictographs
    (0x30, 0x39, 2),
    (0x300, 0x36F, 1),  # combining marks
]
SEPARATORS = [" "] * 12
SEPARATORS += [", ", ". ", "; ", "-", "\n", "\t", "\u00a0", "\u3000", " – ", "…", "/", "\u200b"]
COMMON = [
    *("the", "of", "and", "in", "to", "was", "is"),
    *("for", "as", "on", "with", "by", "he", "that"),
]


def article(length: int) -> str:
    """About `length` words of the paragraphs, again and again."""
    words = " ".join(PARAGRAPHS).split()
    return " ".join(words[i % len(words)] for i in range(length))


def pairs() -> list[tuple[str, str]]:
    """Questions with short, middle and long contexts (some of several windows)."""
    contexts = [*PARAGRAPHS, article(250), article(420), article(900), article(3), "Yes."]
    return [(QUESTIONS[i % len(QUESTIONS)], context) for i, context in enumerate(contexts)]


def generated(seed: int, words: int) -> str:
    """Words of many scripts, numbers, punctuation and, now and then, words too long to split."""
    source = random.Random(seed)
    scripts = [(first, last) for first, last, _ in SCRIPTS]
    weights = [weight for _, _, weight in SCRIPTS]
    parts: list[str] = []
    for _ in range(words):
        if source.random() < 0.5:
            word = source.choice(COMMON)
        else:
            first, last = source.choices(scripts, weights)[0]
            long = source.random() < 0.005
            length = source.randint(90, 300) if long else source.randint(1, 9)
            word = "".join(chr(source.randint(first, last)) for _ in range(length))
        parts += (word, source.choice(SEPARATORS))
    return "".join(parts)
