"""The question-answering pipeline of `transformers`: the target of a process of its own."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

PIPELINE = "transformers pipeline"
MAX_LENGTH, STRIDE, MAX_ANSWER_TOKENS = 384, 128, 30  # as the service has them


def run_pipeline(connection: Connection, checkpoint: Path, dtype: str, threads: int) -> None:
    """Answer each list of questions and contexts that comes, one pair after the other."""
    import torch
    import transformers
    from transformers import BertForQuestionAnswering, BertTokenizerFast
    from transformers.pipelines.question_answering import QuestionAnsweringPipeline

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    model = BertForQuestionAnswering.from_pretrained(checkpoint, torch_dtype=getattr(torch, dtype))
    pipeline = QuestionAnsweringPipeline(
        model=model.eval(),
        tokenizer=BertTokenizerFast.from_pretrained(checkpoint),
        framework="pt",
        device="cpu",
    )
    while True:
        pairs: list[tuple[str, str]] = connection.recv()
        begin, begin_cpu, latencies = perf_counter(), process_time(), []
        for question, context in pairs:
            asked = perf_counter()
            pipeline(
                question=question,
                context=context,
                max_seq_len=MAX_LENGTH,
                doc_stride=STRIDE,
                max_answer_len=MAX_ANSWER_TOKENS,
            )
            latencies.append(perf_counter() - asked)
        connection.send((perf_counter() - begin, process_time() - begin_cpu, latencies))
