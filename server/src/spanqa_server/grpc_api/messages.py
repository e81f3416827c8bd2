"""Between protobuf messages and the plain objects of the core."""

from google.protobuf.duration_pb2 import Duration

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.qa.answerer import AnswerSet
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.requests import Options, Question

OFFSET_UNITS = {
    pb.OFFSET_ENCODING_UNSPECIFIED: OffsetUnit.UTF32,
    pb.OFFSET_ENCODING_UTF8: OffsetUnit.UTF8,
    pb.OFFSET_ENCODING_UTF16: OffsetUnit.UTF16,
    pb.OFFSET_ENCODING_UTF32: OffsetUnit.UTF32,
}


def read_question(request: pb.AnswerRequest) -> Question:
    """The core's form of a request, unchecked."""
    options = request.options
    return Question(
        question=request.question,
        context=request.context,
        options=Options(
            top_k=options.top_k,
            max_answer_tokens=options.max_answer_tokens,
            allow_no_answer=options.allow_no_answer,
            no_answer_threshold=options.no_answer_threshold,
            offset_unit=OFFSET_UNITS.get(options.offset_encoding),
            max_sequence_tokens=options.max_sequence_tokens,
            doc_stride_tokens=options.doc_stride_tokens,
            min_probability=options.min_probability,
        ),
    )


def write_answers(found: AnswerSet, model_version: str, total_seconds: float) -> pb.AnswerResponse:
    """The reply."""
    seconds = found.seconds
    return pb.AnswerResponse(
        answers=[
            pb.Answer(
                text=answer.text,
                start=answer.start,
                end=answer.end,
                score=answer.span.score,
                probability=answer.span.probability,
                start_logit=answer.span.start_logit,
                end_logit=answer.span.end_logit,
            )
            for answer in found.answers
        ],
        no_answer=found.no_answer,
        no_answer_probability=found.no_answer_probability,
        model_version=model_version,
        usage=pb.Usage(
            question_tokens=found.question_tokens,
            context_tokens=found.context_tokens,
            windows=found.windows,
        ),
        timing=pb.Timing(
            tokenize=duration(seconds.tokenize),
            queue=duration(seconds.queue),
            infer=duration(seconds.infer),
            decode=duration(seconds.decode),
            total=duration(total_seconds),
        ),
    )


def duration(seconds: float) -> Duration:
    """A protobuf duration, to the nanosecond."""
    whole, fraction = divmod(seconds, 1)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))
