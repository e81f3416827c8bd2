"""Load on a real server: the open loop's own run, and what ghz needs of the server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from benchmarks import ROOT
from benchmarks.ghz import run
from support.processes import RunningServer
from support.squad import CITIES, write_squad


def open_loop(target: str, directory: Path, *arguments: str) -> tuple[list[Any], str]:
    """Its figures of each rate, and what it printed."""
    data, out = write_squad(directory / "squad.json"), directory / "out.json"
    command = [sys.executable, "-m", "benchmarks.service.open_loop", "--target", target]
    command += ["--data", str(data), "--json", str(out)]
    command += ["--arrivals", "constant", "--questions", str(len(CITIES)), *arguments]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    made = json.loads(out.read_text())
    assert made["model"]["name"] == "minilm-squad"
    return made["rates"], ended.stdout


def test_the_open_loop_settles_every_request(server: RunningServer, tmp_path: Path) -> None:
    rates, _ = open_loop(server.target, tmp_path, "--rates", "10,20", "--seconds", "0.5")
    assert [rate["codes"] for rate in rates] == [{"OK": 5}, {"OK": 10}]
    for rate in rates:
        assert rate["offered_per_second"] == rate["rate"]
        assert 0 < rate["seconds"]["p50"] <= rate["seconds"]["p99"] <= rate["seconds"]["max"]
        assert rate["most_outstanding"] >= 1


def test_calls_over_the_bound_are_told(server: RunningServer, tmp_path: Path) -> None:
    bounded = ("--rates", "1000", "--seconds", "0.1", "--max-outstanding", "1")
    (rate,), printed = open_loop(server.target, tmp_path, *bounded)
    assert rate["codes"]["OK"] + rate["codes"]["not sent"] == 100
    assert rate["most_outstanding"] == 1
    assert "not sent: 1 calls were under way already" in printed


def test_clients_find_every_call_by_reflection(channel: grpc.Channel) -> None:
    """ghz asks for the file that holds the method, by the method's own name."""
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "spanqa.v1.QuestionAnsweringService" in database.get_services()
    for method, _ in run.METHODS.values():
        symbol = f"spanqa.v1.QuestionAnsweringService.{method}"
        file = database.FindFileContainingSymbol(symbol)
        assert file.name == "spanqa/v1/question_answering.proto"
        for dependency in file.dependency:
            assert database.FindFileByName(dependency).name == dependency
