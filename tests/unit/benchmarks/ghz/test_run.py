"""The ghz profiles: options that ghz has, a call that the service has, questions that parse."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.json_format import ParseDict

from benchmarks.ghz import run
from spanqa.squad import read_questions
from spanqa.v1 import question_answering_pb2 as pb
from support.squad import CITIES, write_squad

NUMBER, TIME, SCHEDULE = r"[1-9]\d*", r'"[1-9]\d*(ms|s|m)"', '"(const|step|line)"'
# The options in use, as the JSON names of `Config` in runner/config.go of github.com/bojand/ghz
# have them; the flags have the same names (https://ghz.sh/docs/options).
OPTIONS = {
    **dict.fromkeys(("concurrency", "connections", "rps"), NUMBER),
    **dict.fromkeys(("load-start", "load-end", "load-step"), NUMBER),
    **dict.fromkeys(("concurrency-start", "concurrency-end", "concurrency-step"), NUMBER),
    **dict.fromkeys(("duration", "timeout"), TIME),
    **dict.fromkeys(("load-step-duration", "concurrency-step-duration"), TIME),
    **dict.fromkeys(("load-schedule", "concurrency-schedule"), SCHEDULE),
    **dict.fromkeys(("call", "name", "host", "proto", "import-paths", "data-file"), '".+"'),
    **dict.fromkeys(("format", "output", "cacert", "cname"), '".+"'),
    **dict.fromkeys(("insecure", "async", "disable-template-data", "count-errors"), "true|false"),
    "duration-stop": '"(close|wait|ignore)"',
}
# In the form of ghz's own example, https://ghz.sh/pretty.json
REPORT: dict[str, Any] = {
    **{"count": 5, "slowest": 62_984_994, "rps": 19.96},
    "statusCodeDistribution": {"OK": 4, "Unavailable": 1},
    "errorDistribution": {"rpc error: code = Unavailable desc = gone": 1},
    "latencyDistribution": [{"percentage": 50, "latency": 31_946_130}],
}


def profile(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.PROFILES[name].read_text())
    return content


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    return run.parse_arguments()


def fake_ghz(directory: Path, report: dict[str, Any], code: int = 0) -> None:
    """Says how it was called, and writes a report where it was told to."""
    program = directory / "ghz"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"at = sys.argv.index('--output') + 1\n"
        f"pathlib.Path(sys.argv[at]).write_text({json.dumps(report)!r})\nsys.exit({code})\n"
    )
    program.chmod(0o755)


@pytest.mark.parametrize("name", ["constant", "ramp", "stress"])
def test_ghz_would_take_the_profile(name: str) -> None:
    content = profile(name)
    for option, value in content.items():
        assert re.fullmatch(OPTIONS[option], json.dumps(value)), (option, value)
    # The checks that ghz makes before it starts (runner/options.go).
    assert content["connections"] <= content["concurrency"]
    for kind in ("load", "concurrency"):
        if content.get(f"{kind}-schedule", "const") != "const":
            assert content[f"{kind}-start"] != content[f"{kind}-end"]
            assert {f"{kind}-step", f"{kind}-step-duration"} <= content.keys()


def test_the_proto_is_complete_in_the_import_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ghz reads it: by its name, in its own directory and in those named."""
    command = run.ghz_command(parsed(monkeypatch), tmp_path / "report.json")
    after = dict(pairwise(command))
    proto = Path(after["--proto"])
    paths = [proto.parent, *after["--import-paths"].split(",")]
    made = tmp_path / "made.binpb"
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "--include_imports"),
            *(f"-I{path}" for path in paths),
            *(f"--descriptor_set_out={made}", proto.name),
        ],
        check=True,
        timeout=60,
    )
    files = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file
    assert [service.name for service in files[-1].service] == ["QuestionAnsweringService"]


@pytest.mark.parametrize(
    ("arguments", "wanted", "unwanted"),
    [
        (["--mode", "proto"], {"--proto", "--import-paths", "--insecure"}, {"--cacert"}),
        (["--mode", "reflection"], {"--insecure"}, {"--proto", "--import-paths", "--protoset"}),
        (
            ["--cacert", __file__, "--cname", "spanqa.example"],
            {"--cacert", "--cname", "spanqa.example"},
            {"--insecure", "--skipTLS"},
        ),
        (["--", "--rps", "40"], {"--rps", "40"}, set()),
        (["--method", "batch"], {"spanqa.v1.QuestionAnsweringService/BatchAnswer"}, set()),
    ],
)
def test_the_command(
    arguments: list[str], wanted: set[str], unwanted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = run.ghz_command(parsed(monkeypatch, *arguments), Path("report.json"))
    assert wanted <= set(command)
    assert not unwanted & set(command)
    flags = {part.removeprefix("--") for part in command if part.startswith("--")}
    assert flags - {"config"} <= OPTIONS.keys()
    assert command[-1] == "localhost:50051"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cacert", "nowhere.pem"], "--cacert: there is no file nowhere.pem"),
        (["--cname", "spanqa.example"], "--cname: only with --cacert"),
        (["--count", "0"], "--count: '0' is not a whole number above 0"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed(monkeypatch, *arguments)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("method", list(run.METHODS))
def test_payloads_are_requests_of_the_file(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_squad(tmp_path / "squad.json", ("What is {{x}}?", "No template: {{x}} is y."))
    out = tmp_path / "new" / "payloads.json"
    count = len(CITIES) + 1
    arguments = ["--data", str(data), "--count", str(count), "--payloads", str(out)]
    run.write_payloads(parsed(monkeypatch, *arguments, "--method", method))
    service = pb.DESCRIPTOR.services_by_name["QuestionAnsweringService"]
    described = service.methods_by_name[run.METHODS[method][0]].input_type
    kind: Any = getattr(pb, described.name)
    made = [ParseDict(one, kind()) for one in json.loads(out.read_text())]
    asked = {
        "answer": made,
        "batch": [pair for message in made for pair in getattr(message, "requests", ())],
        "stream": [getattr(message, "request", None) for message in made],
        "documents": made,
    }[method]
    expected = {(one.question, one.context) for one in read_questions(data)}
    if method == "documents":
        assert {one.question for one in asked} == {question for question, _ in expected}
        assert {text.text for one in asked for text in one.documents} == {c for _, c in expected}
    else:
        assert {(one.question, one.context) for one in asked} == expected


def test_a_token_is_for_reflection_too_and_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    by_proto = run.token_options(parsed(monkeypatch))
    assert by_proto == ["--metadata", '{"authorization": "Bearer s3cret"}']
    by_reflection = run.token_options(parsed(monkeypatch, "--mode", "reflection"))
    assert by_reflection == [*by_proto, "--reflect-metadata", by_proto[1]]
    fake_ghz(tmp_path, REPORT)
    monkeypatch.setattr(run, "INSTALLED", tmp_path)
    data = write_squad(tmp_path / "squad.json")
    made = ["--data", str(data), "--payloads", str(tmp_path / "out"), "--reports", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run.py", *made])
    run.main()
    assert "s3cret" not in capsys.readouterr().out


def test_without_ghz_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(run, "INSTALLED", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit, match="ghz is not installed") as ended:
        run.main()
    assert "make load-open-loop" in str(ended.value)


@pytest.mark.parametrize(
    ("report", "code", "ends"),
    [
        (REPORT, 0, None),
        (REPORT, 3, "3"),
        (REPORT | {"statusCodeDistribution": {"Unavailable": 5}}, 0, "desc = gone"),
    ],
)
def test_a_run(
    report: dict[str, Any],
    code: int,
    ends: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_ghz(tmp_path, report, code)
    monkeypatch.setattr(run, "INSTALLED", tmp_path)
    data = write_squad(tmp_path / "squad.json")
    arguments = ["--data", str(data), "--payloads", str(tmp_path / "payloads.json")]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--reports", str(tmp_path / "made")])
    if ends:
        with pytest.raises(SystemExit, match=ends):
            run.main()
        return
    run.main()
    out = capsys.readouterr().out
    assert "5 requests, 20.0/s; OK 4, Unavailable 1; ms from sending" in out
    assert "p50 32, slowest 63" in out
    assert json.loads(next((tmp_path / "made").iterdir()).read_text()) == report
