"""Calls that are reset as soon as they have begun: as far as gRPC goes, others are answered.

The rest is a proxy's to do (docs/threat-model.md).
"""

from collections import Counter
from collections.abc import Callable

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.floods import beside, resets
from support.processes import RunningServer, open_channel

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
CALLS, TIMEOUT = 60, 5.0


def test_resets_over_one_connection_leave_others_their_answers(
    server: RunningServer, say: Callable[[str], None]
) -> None:
    with open_channel(server.target, None) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        assert codes(stub, CALLS) == {"OK": CALLS}
        with beside(resets, server.target):
            found = codes(stub, CALLS)
        say(f"beside a flood of resets: {dict(found)}")
        assert found["OK"] >= 0.95 * CALLS
        assert codes(stub, 10) == {"OK": 10}


def codes(stub: QuestionAnsweringServiceStub, count: int) -> Counter[str]:
    """How calls ended, one at a time."""
    found: Counter[str] = Counter()
    for _ in range(count):
        try:
            stub.Answer(REQUEST, timeout=TIMEOUT)
            found["OK"] += 1
        except grpc.RpcError as error:
            found[error.code().name] += 1
    return found
