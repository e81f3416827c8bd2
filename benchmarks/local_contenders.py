"""Contenders without a server, each the target of a process that answers what it is sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

Pair = tuple[str, str]
Answer = Callable[[str, str], object]
MAX_LENGTH, STRIDE, MAX_ANSWER_TOKENS = 384, 128, 30


def run(
    make: Callable[[Path, str], Answer],
    connection: Connection,
    checkpoint: Path,
    dtype: str,
    threads: int,
) -> None:
    """Answer each list of pairs that comes, one pair after the other."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    answer = make(checkpoint, dtype)
    while True:
        pairs: list[Pair] = connection.recv()
        begin, begin_cpu, latencies = perf_counter(), process_time(), []
        for question, context in pairs:
            asked = perf_counter()
            answer(question, context)
            latencies.append(perf_counter() - asked)
        connection.send((perf_counter() - begin, process_time() - begin_cpu, latencies))


def pipeline(checkpoint: Path, dtype: str) -> Answer:
    """The question-answering pipeline of transformers with our windows."""
    import torch
    from transformers import BertForQuestionAnswering, BertTokenizerFast
    from transformers.pipelines.question_answering import QuestionAnsweringPipeline

    model = BertForQuestionAnswering.from_pretrained(
        checkpoint, torch_dtype=getattr(torch, dtype)
    ).eval()
    tokenizer = BertTokenizerFast.from_pretrained(checkpoint)
    made = QuestionAnsweringPipeline(model=model, tokenizer=tokenizer, framework="pt", device="cpu")
    return lambda question, context: made(
        question=question,
        context=context,
        max_seq_len=MAX_LENGTH,
        doc_stride=STRIDE,
        max_answer_len=MAX_ANSWER_TOKENS,
    )


def torch_loop(checkpoint: Path, dtype: str) -> Answer:
    """What one writes by hand: tokenizer, model, the best start and the best end after it."""
    import torch
    from transformers import BertForQuestionAnswering, BertTokenizerFast

    model = BertForQuestionAnswering.from_pretrained(
        checkpoint, torch_dtype=getattr(torch, dtype)
    ).eval()
    tokenizer = BertTokenizerFast.from_pretrained(checkpoint)

    def answer(question: str, context: str) -> str:
        encoded = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=MAX_LENGTH,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        inputs = {name: encoded[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
        with torch.inference_mode():
            output = model(**inputs)
        best = (-1e30, 0, 0)
        for row, offsets in enumerate(encoded["offset_mapping"].tolist()):
            here = torch.tensor([kind == 1 for kind in encoded.sequence_ids(row)])
            starts = output.start_logits[row].float().masked_fill(~here, -1e30)
            ends = output.end_logits[row].float().masked_fill(~here, -1e30)
            start = int(starts.argmax())
            end = start + int(ends[start : start + MAX_ANSWER_TOKENS].argmax())
            score = float(starts[start] + ends[end])
            best = max(best, (score, offsets[start][0], offsets[end][1]))
        return context[best[1] : best[2]]

    return answer


LOCAL = {
    "transformers pipeline": partial(run, pipeline),
    "torch loop": partial(run, torch_loop),
}
