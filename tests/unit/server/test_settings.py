"""Settings from flags and the environment; what is wrong is said in one line."""

import logging
import re
import sys
from pathlib import Path

import pytest

from spanqa_server import app
from spanqa_server.cli import main as cli
from spanqa_server.cli.reference import reference
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GROUPS, GateSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*Settings.model_fields, *GateSettings.model_fields}:
        monkeypatch.delenv(f"SPANQA_{name.upper()}", raising=False)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Settings:
    """What `spanqa-server serve ARGUMENTS` would serve with."""
    served: list[Settings] = []

    async def serve(settings: Settings) -> None:
        served.append(settings)

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["spanqa-server", "serve", *arguments])
    cli.main()
    return served[0]


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANQA_PORT", "1234")
    monkeypatch.setenv("SPANQA_TRITON", "a:1, b:2,")
    monkeypatch.setenv("SPANQA_MAX_TOP_K", "7")
    monkeypatch.setenv("SPANQA_REFLECTION", "false")
    monkeypatch.setenv("SPANQA_LOG_LEVEL", "warning")
    settings = run(monkeypatch)
    assert (settings.port, settings.triton) == (1234, ["a:1", "b:2"])
    assert (settings.reflection, settings.log_level) == (False, "WARNING")
    settings = run(monkeypatch, "--port", "5678", "--triton", "c:3,d:4", "--default-timeout=2.5")
    assert (settings.port, settings.triton) == (5678, ["c:3", "d:4"])
    assert (settings.max_top_k, settings.default_timeout) == (7, 2.5)


def test_the_first_batch_is_as_large_as_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch).first_batch_tokens == 0, "one window with the embedded Triton"
    external = ("--triton", "a:1", "--max-tokens-in-flight", "70000")
    assert run(monkeypatch, *external).first_batch_tokens == 70_000
    assert run(monkeypatch, *external, "--first-batch-tokens", "0").first_batch_tokens == 0


def test_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[GateSettings] = []

    async def keep_gate(settings: GateSettings) -> None:
        kept.append(settings)

    monkeypatch.setattr(app, "keep_gate", keep_gate)
    monkeypatch.setenv("SPANQA_TRITON", "127.0.0.1:8001")
    monkeypatch.setattr(sys, "argv", ["spanqa-server", "gate", "--view", "/view"])
    cli.main()
    [settings] = kept
    assert (settings.triton, settings.view) == (["127.0.0.1:8001"], Path("/view"))
    assert settings.first_batch_tokens == 16_384


@pytest.mark.parametrize(
    "url", ["", "http://c:4318", "https://c.example/otlp", "http://[::1]:4318"]
)
def test_a_collector_is_a_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert run(monkeypatch, f"--otlp-endpoint={url}").otlp_endpoint == url
    assert run(monkeypatch, f"--otlp-endpoint={url and url + '/'}").otlp_endpoint == url


@pytest.mark.parametrize(
    ("arguments", "tokens", "chunks"),
    [
        ((), 1024, 1),
        (("--triton", "a:1"), 4096, 2),
        (("--max-chunk-tokens", "2000"), 2000, 1),
        (("--max-chunk-tokens=2000", "--triton", "a:1"), 2000, 2),
        (("--max-chunks-in-flight=3", "--triton", "a:1"), 4096, 3),
    ],
)
def test_chunks_are_smaller_and_fewer_with_the_embedded_triton(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], tokens: int, chunks: int
) -> None:
    settings = run(monkeypatch, *arguments)
    assert (settings.max_chunk_tokens, settings.max_chunks_in_flight) == (tokens, chunks)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "http", "--port 'http': "),
        ("port", "70000", "less than or equal to 65535"),
        ("port", "-1", "greater than or equal to 0"),
        ("triton", "triton", "'triton' is not HOST:PORT"),
        ("triton", "a:1,b:0", "'b:0' is not HOST:PORT"),
        ("triton", "http://a:x", "'http://a:x' is not HOST:PORT"),
        ("default_timeout", "0", "--default-timeout '0': "),
        ("reflection", "perhaps", "--reflection 'perhaps': "),
        ("log_level", "LOUD", "must be DEBUG, INFO, WARNING or ERROR"),
        ("max_windows", "0", "--max-windows '0': "),
        ("max_stream_pairs", str(2**31), "less than or equal to 2147483647"),
        ("max_logits_tokens", "511", "greater than or equal to 512"),
        ("default_timeout", "inf", "--default-timeout 'inf': "),
        ("default_timeout", "nan", "--default-timeout 'nan': "),
        ("log_format", "xml", "'text' or 'json'"),
        ("trace_ratio", "1.5", "less than or equal to 1"),
        ("otlp_endpoint", "collector:4318", "must be a URL like http://HOST:4318"),
        ("otlp_endpoint", "grpc://collector:4317", "must be a URL like http://HOST:4318"),
        ("otlp_endpoint", "http://:4318", "must be a URL like http://HOST:4318"),
        ("otlp_endpoint", "http://c:no", "must be a URL like http://HOST:4318"),
        ("otlp_endpoint", "http://c?x=y", "must be a URL like http://HOST:4318"),
    ],
)
def test_bad_values_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    with pytest.raises(SystemExit) as by_flag:
        run(monkeypatch, f"--{name.replace('_', '-')}={value}")
    monkeypatch.setenv(f"SPANQA_{name.upper()}", value)
    with pytest.raises(SystemExit) as by_variable:
        run(monkeypatch)
    for raised in (by_flag, by_variable):
        line = raised.value.code
        assert isinstance(line, str), "argparse's own text"
        assert line.startswith(f"spanqa-server: --{name.replace('_', '-')} ")
        assert expected in line
        assert "\n" not in line


def test_every_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANQA_THREADS", "many")
    with pytest.raises(SystemExit, match=r"--port 'x': .*; --threads 'many': "):
        run(monkeypatch, "--port", "x")


@pytest.mark.parametrize(("command", "kind"), [("serve", Settings), ("gate", GateSettings)])
def test_every_setting_is_in_the_help_with_its_meaning_and_default(
    command: str,
    kind: type[Settings | GateSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["spanqa-server", command, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    text = capsys.readouterr().out
    for name in kind.model_fields:
        [option] = re.findall(rf"^  --{name.replace('_', '-')} .*(?:\n   .*)*", text, re.MULTILINE)
        assert "Default: " in " ".join(option.split()) + " "
    groups = re.findall(r"^(\w+):\n", text, re.MULTILINE)
    assert groups == ["options", *(one for one in GROUPS if command == "serve" or one in groups)]
    assert not re.search(r"None|list\[|\b(str|int|float|bool|Path)\b", text), "Python's words"


def test_the_reference_is_that_of_the_code() -> None:
    page = Path(__file__).parents[3] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference(), "run `make settings`"


@pytest.mark.parametrize("command", ["serve", "gate"])
@pytest.mark.parametrize(
    ("name", "nearest"),
    [("SPANQA_PROT", "SPANQA_PORT"), ("SPANQA_MAX_TOKEN_IN_FLIGHT", "SPANQA_MAX_TOKENS_IN_FLIGHT")],
)
def test_an_unknown_variable_is_refused(
    command: str, name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["spanqa-server", command])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    expected = f"spanqa-server: unknown environment variable {name}; did you mean {nearest}?"
    assert raised.value.code == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPANQA_TARGET", "localhost:1"),  # of the client's command line, as the next ones
        ("SPANQA_TOKEN_FILE", "token"),
        ("SPANQA_CA", "ca.pem"),
        ("SPANQA_VIEW", "/view"),  # of the gate
        ("SPANQA_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("SPANQA_SERVICE_PORT_GRPC", "50051"),
        ("SPANQA_SERVER_PORT", "tcp://10.0.0.1:50051"),
        ("SPANQA_SERVER_PORT_50051_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_variables_of_others_are_left_alone(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    run(monkeypatch)


CERTIFICATE = ("--tls-certificate=cert.pem", "--tls-key=key.pem")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), ["not encrypted", "not authenticated"]),
        (("--host=::",), ["not encrypted", "not authenticated"]),
        (("--tokens-file=tokens",), ["not encrypted"]),
        (CERTIFICATE, ["not authenticated"]),
        ((*CERTIFICATE, "--tls-client-ca=clients.pem"), []),
        ((*CERTIFICATE, "--tokens-file=tokens"), []),
        (("--host=127.0.0.1",), []),
        (("--host=localhost",), []),
    ],
)
def test_an_open_server_says_so_in_one_line(
    arguments: tuple[str, ...],
    named: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(monkeypatch, *arguments)
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warnings) == bool(named)
    for text in ("not encrypted", "not authenticated"):
        assert any(text in line for line in warnings) == (text in named)
