"""Every example program against real servers: one table, language by check."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.examples import REPOSITORY, Example, Secured, pair_line
from support.processes import RunningServer, poll, running_server
from support.triton import address_of

pytestmark = pytest.mark.clients

WHERE = "Where was Marie Curie born?"
# Emoji with joiners and flags, combining marks, right-to-left script, what else has no one unit.
TEXTS = [
    "Marie Curie was born in Warsaw in 1867.",
    "😀😀 Marie Curie was born in Warsaw 🎉 in 1867.",
    "👩‍🚀👨‍👩‍👧‍👦 Marie Curie 🇵🇱 was born in Warsaw.",
    "Zoe\u0308 e\u0301\u0323 a\u030a: Marie Curie was born in Warsaw, e\u0301tudiante.",
    "מארי קירי: Marie Curie was born in Warsaw. שלום 😀",
    "\u202eمرحبا\u202c ماري كوري: Marie Curie was born in Warsaw.",
    "居里夫人。𠀀𠀁 Marie Curie was born in Warsaw. 東京",
    "𝔐𝔞𝔯𝔦𝔢 𝔠 Marie Curie was born in Warsaw.\u2028Line.",
    "\ufeff\u00a0\u3000 ﬁﬂ Marie Curie was born in Warsaw\r\n\tin 1867.",
    "हिन्दी தமிழ் ไทย Marie Curie was born in Warsaw 한국어.",
]
# Some hundred windows: seconds of work.
LONG = (WHERE, "The rain went on and nobody said a word about the matter. " * 2500)
# A lot to send, and little to compute.
WIDE = (WHERE, "Marie Curie was born in Warsaw." + " " * 60_000)
OFFSET_ENCODINGS = {"UTF8": ("utf-8", 1), "UTF16": ("utf-16-le", 2), "UTF32": ("utf-32-le", 4)}


def test_answer_and_offsets(example: Example, plain: RunningServer) -> None:
    answers = example.run("answer", [(WHERE, text) for text in TEXTS], target=plain.target)
    assert len(answers) == len(TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        codec, size = OFFSET_ENCODINGS[answer["unit"]]
        cut = text.encode(codec)[answer["start"] * size : answer["end"] * size].decode(codec)
        assert answer["text"] == answer["cut"] == cut == "Warsaw"
        assert all(type(answer[name]) is int for name in ("start", "end"))


def test_batch_with_a_bad_pair(example: Example, plain: RunningServer) -> None:
    pairs = [(WHERE, TEXTS[0]), ("", " "), (WHERE, TEXTS[1])]
    first, bad, last = example.run("batch", pairs, target=plain.target)
    assert first["text"] == last["text"] == "Warsaw"
    assert (bad["code"], bad["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert bad["fields"] == {
        "question": "is empty; give some text",
        "context": "is blank; give some text",
    }


def test_stream(example: Example, plain: RunningServer) -> None:
    pairs = [(WHERE, TEXTS[number % len(TEXTS)]) for number in range(300)]
    answers = example.run("stream", pairs, target=plain.target)
    assert sorted(int(answer["id"]) for answer in answers) == list(range(300))
    assert {answer["text"] for answer in answers} == {"Warsaw"}


def test_a_stream_reads_no_further_than_the_server_takes(
    example: Example, plain: RunningServer
) -> None:
    """Of 1,500 pairs, 90 MB, few have been read when the first answer comes."""
    written: list[int] = []

    def write() -> None:
        for number in range(1500):
            process.stdin.write(pair_line(WIDE))  # type: ignore[union-attr]
            written.append(number)
        process.stdin.close()  # type: ignore[union-attr]

    with example.started("stream", target=plain.target) as process:
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert process.stdout
        first = process.stdout.readline()
        read_at_first = len(written)
        ids = {json.loads(line)["id"] for line in (first, *process.stdout)}
        writer.join(10)
    assert len(ids) == 1500
    assert read_at_first < 500


def test_deadline(example: Example, plain: RunningServer) -> None:
    [ended] = example.run("deadline", [LONG], target=plain.target)
    assert ended["code"] == "DEADLINE_EXCEEDED"


def test_cancel(example: Example, plain: RunningServer) -> None:
    before = cancelled(plain)
    [ended] = example.run("cancel", [LONG], target=plain.target)
    assert ended["code"] == "CANCELLED"
    poll(lambda: cancelled(plain) > before, 10, "the server hears that the call was cancelled")
    plain.wait_until_idle()


def cancelled(server: RunningServer) -> float:
    metrics = server.metrics()
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("spanqa_calls_total{") and 'code="CANCELLED"' in name
    )


def test_calls_go_on_while_one_of_two_servers_is_killed(
    example: Example, plain: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with second_frontend(plain, tmp_path_factory) as other:
        targets = f"{other.target},{plain.target}"
        with example.started("retry", target=targets) as process:
            assert process.stdin
            assert process.stdout
            answers = []
            for number in range(60):
                process.stdin.write(pair_line((WHERE, TEXTS[number % len(TEXTS)])))
                process.stdin.flush()
                answers.append(json.loads(process.stdout.readline()))
                if number == 19:
                    assert other.metrics()[ANSWERED] > 0, "calls go to both"
                    other.process.kill()
            process.stdin.close()
            assert process.stdout.read() == ""
    assert not [answer for answer in answers if answer.get("text") != "Warsaw"]


ANSWERED = 'spanqa_calls_total{code="OK",method="Answer"}'


@contextmanager
def second_frontend(
    plain: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("other") / "log"
    with running_server(REPOSITORY, log, "--triton", address_of(plain)) as server:
        yield server


def test_tls_and_token(example: Example, secured: Secured) -> None:
    target, authority = secured.server.target, str(secured.authority)
    pairs = [(WHERE, TEXTS[0])]
    [answer] = example.run("answer", pairs, target=target, ca=authority, token=secured.token)
    assert answer["text"] == "Warsaw"
    [refused] = example.run("answer", pairs, target=target, ca=authority, token="wrong")
    assert refused["code"] == "UNAUTHENTICATED"


def test_health(example: Example, plain: RunningServer) -> None:
    assert example.run("health", target=plain.target) == [{"status": "SERVING"}]
