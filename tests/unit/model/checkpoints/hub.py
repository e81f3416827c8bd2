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
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FETCH = """
import json, sys
from pathlib import Path
from spanqa_model.errors import ModelError
from spanqa_model.checkpoints.adapter import base_of, is_adapter
from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.fetching import fetch
results = []
for repository in sys.argv[1:]:
    try:
        adapter = is_adapter(Path(repository))
        source = base_of(Path(repository)) if adapter else Source(name="x", repository=repository)
        fetched = fetch(source)
        files = {path.name: path.read_bytes().hex() for path in fetched.directory.iterdir()}
        results.append({"revision": fetched.revision, "files": files})
    except ModelError as error:
        results.append({"error": str(error), "type": type(error).__name__})
print(json.dumps(results))
"""
Reply = tuple[int, dict[str, str], bytes]


def reply(repositories: dict[str, Path], path: str) -> Reply:
    """What the hub answers, with these repositories (id → directory)."""
    parts = path.strip("/").split("/")
    if parts[:2] == ["api", "models"]:
        repository = "/".join(parts[2:4])
        if repository not in repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = [{"rfilename": file.name} for file in repositories[repository].iterdir()]
        content = {"id": repository, "sha": COMMIT, "siblings": files}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
    file = repositories.get("/".join(parts[:2]), Path()) / parts[-1]
    if parts[2:-1] != ["resolve", COMMIT] or not file.is_file():
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    weights = file.read_bytes()
    etag = hashlib.sha256(weights).hexdigest()
    return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, weights


@contextmanager
def serve(repositories: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Yields the address of the hub, and a list of the paths that it is asked for."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            requested.append(path)
            status, headers, content = reply(repositories, path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", requested
        finally:
            server.shutdown()
            thread.join()


def fetch_all(endpoint: str, home: Path, *repositories: str) -> list[dict[str, Any]]:
    """What `fetch` gives for each, in a process (which reads the endpoint) with its own cache.

    For the directory of an adapter it is its base.
    """
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hub"), "HOME": str(home)}
    environment |= {"NO_PROXY": "*", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, *repositories],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results
