"""A server with OpenAI's files and batches for tests: it works a batch off when it is looked at, by a rule."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.eval.served import Body, Reply, Server, refusal

Rule = Callable[[Body], Reply]


class BatchServer(Server):
    """Answers each request of a batch by `rule`; a reply that is cut is an expired row, one late is in no file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        """Oldest first."""
        self.held = False
        """Whether batches stay unfinished."""
        self.endless = False
        """Whether its list of batches promises more for ever, and is the same whatever it is asked for."""
        self.code: str | None = None
        """The code by which a batch as a whole fails; None: it does not."""
        self.status = "completed"
        """What a batch ends as."""
        self.looks: list[Reply] = []
        """What the next looks at a batch get instead of it."""
        self.before: list[Reply] = []
        """What the next starts of a batch get instead of a batch; 200: it is started, but the reply is lost."""

    def reply(self, raw: bytes) -> Reply:
        """What the next request gets."""
        method, path = self.heads[-1].split(" ", 2)[:2]
        path = path.partition("?")[0].removeprefix("/v1")
        match method, path.strip("/").split("/"):
            case "POST", ["files"]:
                return Reply(200, self._stored(_uploaded(raw)))
            case "GET", ["files", name, "content"]:
                return Reply(200, self.files[name].decode(), {"content-type": "application/binary"})
            case "POST", ["batches"]:
                return self._started(json.loads(raw))
            case "GET", ["batches"]:
                return Reply(200, {"object": "list", "data": self.batches[::-1], "has_more": self.endless})
            case "GET", ["batches", name]:
                return self.looks.pop(0) if self.looks else self._looked_at(name)
            case "POST", ["chat", "completions"]:
                return super().reply(raw)
        return refusal(404)

    @property
    def asked(self) -> list[str]:
        """Names of all requests of all batches."""
        files = [self.files[batch["input_file_id"]] for batch in self.batches]
        return [json.loads(line)["custom_id"] for file in files for line in file.splitlines()]

    @property
    def uploads(self) -> int:
        """Files that were sent here."""
        return sum(head.startswith("POST /v1/files ") for head in self.heads)

    def _stored(self, content: bytes) -> Body:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        about = {"object": "file", "created_at": 0, "filename": "x", "purpose": "batch", "status": "processed"}
        return {"id": name, "bytes": len(content), **about}

    def _started(self, body: Body) -> Reply:
        instead = self.before.pop(0) if self.before else None
        if instead is not None and instead.status != 200:
            return instead
        if body["input_file_id"] not in self.files:
            return refusal(400, "no such file")
        about = {"id": f"batch_{len(self.batches)}", "object": "batch", "created_at": 2_000_000_000}
        self.batches.append({**about, "status": "in_progress", **body})
        return instead or Reply(200, self.batches[-1])

    def _looked_at(self, name: str) -> Reply:
        batch = next((one for one in self.batches if one["id"] == name), None)
        if batch is None:
            return refusal(404, "no such batch")
        if batch["status"] == "in_progress" and not self.held:
            self._work_off(batch)
        return Reply(200, batch)

    def _work_off(self, batch: dict[str, Any]) -> None:
        if self.code is not None:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"code": self.code, "message": "canary words"}]}
            return
        done, failed = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            row = json.loads(line)
            assert (row["method"], row["url"]) == ("POST", batch["endpoint"])
            self.requests.append(row["body"])
            assert self.rule is not None
            reply = self.rule(row["body"])
            about = {"id": f"row-{len(done) + len(failed)}", "custom_id": row["custom_id"]}
            if reply.cut:
                failed.append({**about, "response": None, "error": {"code": "batch_expired", "message": "x"}})
            elif not reply.after_s:
                response = {"status_code": reply.status, "request_id": "x", "body": reply.body}
                (done if reply.status == 200 else failed).append({**about, "response": response, "error": None})
        batch["status"] = self.status
        for name, rows in (("output_file_id", done), ("error_file_id", failed)):
            if rows:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in reversed(rows))  # in any order
                batch[name] = self._stored(lines.encode())["id"]


def _uploaded(raw: bytes) -> bytes:
    """The file in a multipart form."""
    boundary = raw.partition(b"\r\n")[0]
    parts = raw.split(boundary)
    assert any(re.search(rb'name="purpose"\r\n\r\nbatch\r\n', part) for part in parts)
    (content,) = (part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts if b'name="file"' in part)
    return content
