"""A model hub on the loopback interface: the routes that a snapshot download needs."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEPT = ("PATH", "PYTHONPATH", "TMPDIR")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What the hub has (repository id → directory), and what it was asked for."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.requested: list[str] = []
        self.endpoint = ""

    def reply(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.requested.append(path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.listing("/".join(parts[2:4]))
        file = self.repositories.get("/".join(parts[:2]), Path()) / parts[-1]
        if parts[2:-1] != ["resolve", COMMIT] or not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = file.read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, content

    def listing(self, repository: str) -> tuple[int, dict[str, str], bytes]:
        if repository not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = sorted(path.name for path in self.repositories[repository].iterdir())
        content = {
            "id": repository,
            "sha": COMMIT,
            "siblings": [{"rfilename": name} for name in files],
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


@contextmanager
def serve(repositories: dict[str, Path]) -> Iterator[Hub]:
    hub = Hub(repositories)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, *, with_body: bool) -> None:
            status, headers, content = hub.reply(self.path.partition("?")[0])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def run_with_hub(endpoint: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with `endpoint` as the hub (read once, at import) and a cache of its own."""
    keep = {name: value for name, value in os.environ.items() if name in KEPT}
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home / "hub"),
        "HOME": str(home),
        "NO_PROXY": "*",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=keep | settings,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
