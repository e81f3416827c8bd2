"""Windows of real text for a model version, of any lengths."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.triton.client import Triton
from spanqa_server.versions.repository import MODEL_NAME, ModelVersion

TEXT = Path(__file__).parents[2] / "client" / "examples" / "lighthouse.txt"
QUESTION = "Who designed the first lighthouse?"


def text_windows(version: ModelVersion, lengths: Sequence[int], seed: int = 0) -> PackedWindows:
    """[CLS] question [SEP] piece [SEP] of these lengths; short ones have less of the question."""
    tokenizer = version.tokenizer
    question = tokenizer.encode(QUESTION).ids
    text = tokenizer.encode(TEXT.read_text(encoding="utf-8")).ids
    random = np.random.default_rng(seed)
    ids, types = [], []
    for length in lengths:
        asked = question[: max(1, (length - 3) // 2)]
        room = length - 3 - len(asked)
        begin = int(random.integers(0, len(text) - room))
        piece = text[begin : begin + room]
        ids.append([tokenizer.cls_id, *asked, tokenizer.sep_id, *piece, tokenizer.sep_id])
        types.append(np.arange(length) >= len(asked) + 2)
    return PackedWindows(
        np.concatenate(ids).astype(np.int32),
        np.concatenate(types).astype(np.int32),
        np.array(lengths, dtype=np.int32),
    )


def mixed_windows(version: ModelVersion, count: int, seed: int) -> list[PackedWindows]:
    """Requests of one window and of many, as short as can be and as long as the model takes."""
    random = np.random.default_rng(seed)
    longest = version.manifest.max_position_embeddings
    requests = []
    for number in range(count):
        windows = int(random.choice([1, 1, 1, 2, 3, 5, 8]))
        lengths = random.integers(8, longest + 1, windows).tolist()
        if number < 2:
            lengths[0] = (8, longest)[number]
        requests.append(text_windows(version, lengths, seed + number))
    return requests


@asynccontextmanager
async def triton_at(
    address: str, *, in_flight: int = 1 << 20, chunk: int = 4096
) -> AsyncIterator[Triton]:
    """The frontend's own way to a Triton, without its frontend."""
    triton = Triton([address], MODEL_NAME, budget=TokenBudget(in_flight), max_chunk_tokens=chunk)
    try:
        yield triton
    finally:
        await triton.close()


async def together(triton: Triton, number: str, requests: Sequence[PackedWindows]) -> list[Logits]:
    """All at once, so that Triton batches them."""
    return await asyncio.gather(*(triton.infer(request, number) for request in requests))


def difference(some: Sequence[Logits], others: Sequence[Logits]) -> float:
    """The largest between logits of the same requests."""
    return max(
        float(max(abs(a.starts - b.starts).max(), abs(a.ends - b.ends).max()))
        for a, b in zip(some, others, strict=True)
    )
