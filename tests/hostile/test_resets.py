"""Calls that are reset as soon as they have begun: as far as gRPC goes, others are answered.

What a proxy makes of them is in test_proxy_floods.py.
"""

from collections import Counter
from collections.abc import Callable
from statistics import median
from time import monotonic

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
        found, alone = ask(stub, CALLS)
        assert found == {"OK": CALLS}
        with beside(resets, server.target):
            found, seconds = ask(stub, CALLS)
        say(f"beside a flood of resets: {dict(found)}, {seconds:.3f} s each (alone {alone:.3f} s)")
        assert found["OK"] >= 0.95 * CALLS
        assert ask(stub, 10)[0] == {"OK": 10}


def ask(stub: QuestionAnsweringServiceStub, count: int) -> tuple[Counter[str], float]:
    """How calls ended, one at a time, and the seconds of the middle one."""
    found: Counter[str] = Counter()
    seconds = []
    for _ in range(count):
        begin = monotonic()
        try:
            stub.Answer(REQUEST, timeout=TIMEOUT)
            found["OK"] += 1
        except grpc.RpcError as error:
            found[error.code().name] += 1
        seconds.append(monotonic() - begin)
    return found, median(seconds)
