"""Sets are read from files, from folders as `datasets` reads them, and from a server that speaks as the Hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from trainer.data.sources import find_source, read_source

CARD = """\
---
license: other
license_name: LicenseRef-Own
configs:
- config_name: v2.0
  data_files:
  - {split: validation, path: dev.jsonl}
  - {split: test, path: test.jsonl}
- config_name: borderline-v1.0
  data_files: border.jsonl
---
"""
ROWS = {"dev": "質問一", "test": "質問二", "border": "質問三"}


def line(text: str) -> str:
    return json.dumps({"ID": text, "text": text, "output": "よい"}, ensure_ascii=False) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set as its makers keep it on the Hub."""
    place = tmp_path / "own-set"
    place.mkdir()
    (place / "README.md").write_text(CARD, encoding="utf-8")
    for name, text in ROWS.items():
        (place / f"{name}.jsonl").write_text(line(text), encoding="utf-8")
    return place


def test_a_file(folder: Path) -> None:
    source = find_source(str(folder / "dev.jsonl"))
    assert (source.name, source.title, source.licence, source.size) == ("dev", "dev.jsonl", None, None)
    (record,) = read_source(source, None, None)
    assert record.fields["text"] == "質問一"
    with pytest.raises(DataError, match=r"--split: a file has none \(got 'train'\)"):
        list(read_source(source, None, "train"))


def test_a_folder_by_config_and_split(folder: Path) -> None:
    source = find_source(str(folder))
    (record,) = read_source(source, "v2.0", "validation")
    assert (record.where, record.fields["text"]) == ("own-set:row 1", "質問一")
    (only,) = read_source(source, "borderline-v1.0", None)
    assert only.fields["text"] == "質問三"


@pytest.mark.parametrize(
    ("config", "split", "what"),
    [
        ("v2.0", None, "own-set: several splits; choose with --split: validation, test"),
        ("v2.0", "dev", r"own-set: no such split \(got 'dev'\); choose with --split: validation, test"),
        ("v3.0", None, "own-set: cannot be read: .*v3.0.*; correct --config"),
        (None, None, "own-set: cannot be read: .*[Cc]onfig"),
    ],
)
def test_what_a_folder_does_not_have(folder: Path, config: str | None, split: str | None, what: str) -> None:
    with pytest.raises(DataError, match=what):
        list(read_source(find_source(str(folder)), config, split))


def test_a_folder_with_a_broken_file(folder: Path) -> None:
    (folder / "border.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(DataError, match="own-set: cannot be read"):
        list(read_source(find_source(str(folder)), "borderline-v1.0", None))


@pytest.mark.parametrize("given", ["none.jsonl", "a/b/c", "/no/such/file"])
def test_neither_file_nor_hub_id(given: str) -> None:
    with pytest.raises(DataError, match="neither a file, a folder nor a Hub id"):
        find_source(given)


def test_the_hub_that_does_not_answer() -> None:
    with pytest.raises(DataError, match=r"the Hub does not answer.*got 'owner/set'"):
        find_source("owner/set")


SHA = "5" * 40
TREES = (f"/api/datasets/owner/own-set/tree/{SHA}", "/api/datasets/owner/own-set/paths-info")


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A server that knows one set, `owner/own-set`, and one that is gated; and what it was asked."""
    asked: list[str] = []
    files = [{"rfilename": path.name, "size": path.stat().st_size} for path in sorted(folder.iterdir())]
    tree = [
        {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
        for path in sorted(folder.iterdir())
    ]
    info = {"id": "owner/own-set", "sha": SHA, "gated": "auto", "private": False, "siblings": files, "tags": []}
    card = {"license": "other", "license_name": "LicenseRef-Own"}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(f"{self.command} {self.path}")
            if path.startswith("/api/datasets/owner/gated"):
                self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask first"})
            elif path.startswith(TREES):
                self._send(200, json.dumps(tree).encode())
            elif path.startswith("/api/datasets/owner/own-set"):
                self._send(200, json.dumps({**info, "cardData": card}).encode())
            elif path.startswith("/datasets/owner/own-set/resolve/") and (folder / Path(path).name).is_file():
                self._send(200, (folder / Path(path).name).read_bytes())
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound" if "api" in path else "EntryNotFound"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"X-Repo-Commit": SHA, "ETag": '"e"', **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(endpoint: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    online = {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    env = {**os.environ, **online, "HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "mergescope", "data", "import", *arguments]
    return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, check=False)


@pytest.mark.deep
def test_the_hub_says_licence_and_size_and_keeps_no_copy(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with hub(folder) as (endpoint, asked):
        done = run(endpoint, tmp_path, "answercarefully", "owner/own-set", str(out), "--split", "test")
        assert done.returncode == 0, done.stderr + "\n".join(asked)
        gated = run(endpoint, tmp_path, "trl", "owner/gated", str(tmp_path / "g.jsonl"))
        missing = run(endpoint, tmp_path, "trl", "owner/none", str(tmp_path / "n.jsonl"))
    said = done.stdout.splitlines()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert said[0] == (
        f"owner/own-set@{SHA}: licence LicenseRef-Own, {size / 1e3:.1f} kB in all its files; "
        "its owners ask for your consent on the Hub"
    )
    assert said[1] == f"{out}: 1 questions of AnswerCarefully (v2.0), licence LicenseRef-AnswerCarefully"
    assert json.loads(out.read_text(encoding="utf-8"))["prompt"] == "質問二"
    kept = [path for path in (tmp_path / "hf").rglob("*") if path.is_file()]
    assert not any("質問" in path.read_text(encoding="utf-8", errors="replace") for path in kept)
    assert gated.returncode == missing.returncode == 2
    assert "its owners ask you to accept their terms on the Hub first (got 'owner/gated'); accept them" in gated.stderr
    assert "the Hub has no such set, or none that you may read (got 'owner/none')" in missing.stderr
