"""Judging in batches against a server in this process: nothing is asked twice, whatever ends in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.chat import batch, batch_file, batch_server
from eval.chat.batch_file import BatchFile, SentFile, request_line
from eval.config import OpenAIJudge
from eval.judge import Judgement, Question, open_judge
from mergescope.ground.errors import MergescopeError
from tests.eval.batch_server import BatchServer
from tests.eval.judging import questions
from tests.eval.served import Body, Reply, completion, refusal, serving, verdict

KEY = "canary-key-81"
GOOD = completion(verdict("harmful"))
Judge = Callable[..., dict[str, Judgement]]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    one = BatchServer()
    one.rule = lambda _: GOOD
    with serving(one):
        yield one


@pytest.fixture
def judge(server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setattr(batch, "CHECK_S", 0.01)
    monkeypatch.setattr(batch_server, "POLL_S", 0.02)
    monkeypatch.setattr(batch_server, "FIRST_PAUSE_S", 0.01)

    def score(asked: int | Iterable[Question], **changes: Any) -> dict[str, Judgement]:
        settings = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
        section = OpenAIJudge.model_validate({**settings, "batch": True, **changes})
        some = questions(asked) if isinstance(asked, int) else asked
        return {question.judgement_id: one for question, one in open_judge(section, tmp_path).score(some)}

    return score


def left(folder: Path) -> list[str]:
    """What is kept beside the journal."""
    return sorted(path.suffix for path in folder.glob("*.batches/*"))


def test_questions_go_as_one_file_and_come_back_as_judgements(
    server: BatchServer, judge: Judge, tmp_path: Path
) -> None:
    done = judge(50)
    assert len(done) == 50
    assert {one.error_kind for one in done.values()} == {None}
    assert {one.tokens for one in done.values()} == {15}
    assert (server.uploads, len(server.batches), len(server.asked)) == (1, 1, 50)
    assert server.batches[0]["completion_window"] == "24h"
    assert "質問7" in server.requests[7]["messages"][1]["content"]
    assert server.requests[0]["response_format"]["type"] == "json_schema"
    assert left(tmp_path) == []
    (journal,) = tmp_path.glob("*.jsonl")
    assert journal.read_bytes().count(b'"key"') == 50
    assert judge(50) == done
    assert len(server.batches) == 1
    assert judge(50, batch=False) == done  # the same judge: what it said counts in either mode
    assert judge(52).keys() - done.keys() == {"v1_000000000050", "v1_000000000051"}
    assert len(server.asked) == 52


def test_nothing_is_sent_before_the_last_question_is_there(server: BatchServer, judge: Judge) -> None:
    release = threading.Event()

    def slow() -> Iterator[Question]:
        for i, question in enumerate(questions(6)):
            if i == 5:
                assert release.wait(30)
            yield question

    threading.Timer(0.3, release.set).start()
    assert len(judge(slow())) == 6
    assert len(server.batches) == 1


def test_large_files_are_split(server: BatchServer, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "MOST_REQUESTS", 20)
    assert len(judge(50)) == 50
    assert sorted(server.files[b["input_file_id"]].count(b"\n") for b in server.batches) == [10, 20, 20]
    size = len(server.files[server.batches[0]["input_file_id"]]) // 20
    monkeypatch.setattr(batch_file, "MOST_BYTES", size * 7)
    judge(80)
    assert all(len(server.files[b["input_file_id"]]) <= size * 7 for b in server.batches[3:])


def test_a_run_that_is_called_off_sends_nothing(server: BatchServer, judge: Judge, tmp_path: Path) -> None:
    def called_off() -> Iterator[Question]:
        yield from questions(5)
        time.sleep(0.1)
        raise ValueError("called off")

    with pytest.raises(ValueError, match="called off"):
        judge(called_off())
    assert server.heads == []
    assert left(tmp_path) == []


def test_no_questions_no_batch(server: BatchServer, judge: Judge) -> None:
    assert judge(0) == {}
    assert server.heads == []


@pytest.mark.parametrize(
    ("reply", "kind", "again"),
    [
        (Reply(cut=True), "timeout", True),  # expired
        (Reply(after_s=1), "server", True),  # in neither file
        (refusal(500), "server", True),
        (refusal(429, "busy"), "server", True),
        (refusal(400, "not like this"), "rejected", True),
        (refusal(400, "maximum context length is 64 tokens"), "rejected", True),
        (refusal(400, "blocked", "content_filter"), "filter", False),
        (completion(None, "content_filter"), "filter", False),
        (completion(None, refusal="I will not judge this."), "refused", False),
        (Reply(200, {"no": "completion"}), "server", True),
    ],
)
def test_a_row_that_fails_is_unscored_with_a_kind(
    server: BatchServer, judge: Judge, tmp_path: Path, reply: Reply, kind: str, again: bool
) -> None:
    server.rule = lambda body: reply if "質問3" in body["messages"][1]["content"] else GOOD
    done = judge(5)
    assert {name: one.error_kind for name, one in done.items() if one.error_kind} == {"v1_000000000003": kind}
    assert left(tmp_path) == []
    server.rule = lambda _: GOOD
    assert judge(5)["v1_000000000003"].error_kind == (None if again else kind)
    assert len(server.asked) == 5 + again


def test_an_unreadable_verdict_is_asked_once_more_in_a_second_batch(server: BatchServer, judge: Judge) -> None:
    def rule(body: Body) -> Reply:
        text = body["messages"][1]["content"]
        first = "no json" not in text  # a repair shows what was said
        return completion("no json") if "質問1\n" in text or ("質問2\n" in text and first) else GOOD

    server.rule = rule
    done = judge(4)
    assert [done[f"v1_{i:012}"].error_kind for i in range(4)] == [None, "parse", None, None]
    assert [server.files[b["input_file_id"]].count(b"\n") for b in server.batches] == [4, 2]
    assert judge(4) == done
    assert len(server.batches) == 2


def test_an_expired_batch_keeps_what_it_did(server: BatchServer, judge: Judge) -> None:
    server.status = "expired"
    server.rule = lambda body: GOOD if "質問0" in body["messages"][1]["content"] else Reply(after_s=1)
    assert {one.error_kind for one in judge(3).values()} == {None, "timeout"}
    server.status, server.rule = "completed", lambda _: GOOD
    assert {one.error_kind for one in judge(3).values()} == {None}
    assert len(server.asked) == 3 + 2


def test_a_batch_that_is_refused_stops_the_run(server: BatchServer, judge: Judge, tmp_path: Path) -> None:
    server.code = "model_not_found"
    with pytest.raises(MergescopeError, match=r"refuses the batch \(got 'model_not_found'\)") as caught:
        judge(3)
    assert "canary" not in str(caught.value)
    assert left(tmp_path) == []
    server.code = None
    assert len(judge(3)) == 3


def test_a_start_whose_reply_is_lost_is_found_again(server: BatchServer, judge: Judge) -> None:
    server.before = [refusal(500), Reply(200, GOOD.body, cut=True), refusal(503)]
    assert len(judge(3)) == 3
    assert (server.uploads, len(server.batches)) == (1, 1)


def test_looks_that_fail_for_a_while_are_no_end(server: BatchServer, judge: Judge) -> None:
    server.looks = [refusal(503, retry_after_ms="1")] * 12  # more than the package tries by itself
    assert len(judge(3)) == 3
    assert server.looks == []


@pytest.mark.parametrize(
    ("status", "complaint"),
    [(401, "refuses the key: HTTP 401"), (404, "has no batches"), (402, "no quota left"), (307, "sends elsewhere")],
)
def test_what_no_retry_mends(server: BatchServer, judge: Judge, status: int, complaint: str) -> None:
    server.before = [refusal(status, f"no {KEY}", location="http://127.0.0.1:9/v1/batches")]
    with pytest.raises(MergescopeError, match=complaint) as caught:
        judge(3)
    assert KEY not in str(caught.value)
    assert len(judge(3)) == 3  # what was gathered is found again
    assert (server.uploads, len(server.asked)) == (1, 3)


def test_a_server_that_is_not_there(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_server, "TRIES", 1)
    with pytest.raises(MergescopeError, match="cannot be reached"):
        judge(1, base_url="http://127.0.0.1:9/v1")


RUN = """
import sys
from pathlib import Path
from eval.chat import batch, batch_server
from eval.config import OpenAIJudge
from eval.judge import open_judge
from tests.eval.judging import questions
batch_server.POLL_S = batch.CHECK_S = 0.01
settings = {"kind": "openai", "model": "m", "base_url": sys.argv[1], "api_key_env": "JUDGE_KEY", "batch": True}
list(open_judge(OpenAIJudge.model_validate(settings), Path(sys.argv[2])).score(questions(30)))
"""


def test_a_kill_while_the_server_works_asks_nothing_again(server: BatchServer, judge: Judge, tmp_path: Path) -> None:
    server.held = True
    running = subprocess.Popen([sys.executable, "-c", RUN, server.base_url, str(tmp_path)])
    while not any(" /v1/batches/" in head for head in server.heads):
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert left(tmp_path) == [".json", ".jsonl"]
    server.held = False
    done = judge(32)
    assert len(done) == 32
    assert {one.error_kind for one in done.values()} == {None}
    assert len(server.asked) == len(set(server.asked)) == 32
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("noted", "uploads", "lists"),
    [("nothing", 2, 0), ("the upload", 1, 1), ("the batch", 1, 0), ("half of the journal", 1, 0)],
)
def test_a_kill_between_any_two_steps(
    server: BatchServer, judge: Judge, tmp_path: Path, noted: str, uploads: int, lists: int
) -> None:
    """What lies on disk at each of them, made by a run that was stopped and then taken back to that moment."""
    removed: list[tuple[Path, bytes, SentFile]] = []

    def keeping(file: BatchFile) -> None:
        removed.append((file.path, file.path.read_bytes(), file.sent()))
        real(file)

    real = BatchFile.remove
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchFile, "remove", keeping)
        done = judge(10)
    ((path, content, sent),) = removed
    path.write_bytes(content)
    (journal,) = tmp_path.glob("*.jsonl")
    lines = journal.read_bytes().split(b"\n")
    kept = len(lines) // 2 if noted == "half of the journal" else 0
    journal.write_bytes(b"\n".join(lines[:kept]))
    if noted == "nothing":  # the file was cut off under way: nothing stands at the server
        server.batches.clear()
    elif noted == "the upload":
        BatchFile(path).note(SentFile(sent.file_id))
    else:
        BatchFile(path).note(sent)
    asked = len(server.heads)
    assert judge(10) == done
    assert server.uploads == uploads
    assert sum(head.startswith("GET /v1/batches?") for head in server.heads[asked:]) == lists
    assert len(server.batches) == 1
    assert journal.read_bytes().count(b'"key"') == 10
    assert left(tmp_path) == []


def test_a_damaged_file_is_named(judge: Judge, tmp_path: Path) -> None:
    judge(1)
    (journal,) = tmp_path.glob("*.jsonl")
    (journal.with_suffix(".batches") / "b1_0.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(MergescopeError, match=r"b1_0\.jsonl: not a file of requests; remove it"):
        judge(1)


def test_any_text_becomes_a_line() -> None:
    for text in ('改行\n\u2028と引用"', "\ud800"):
        line = request_line("a.0", {"text": text})
        assert line.count(b"\n") == 1
        assert json.loads(line)["body"]["text"] == text
