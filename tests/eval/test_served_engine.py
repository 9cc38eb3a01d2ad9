"""A served model as a checkpoint: who it is, what it answers, and that nothing is paid twice or silently mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.chat import client
from eval.config import SamplingSection, ServedCheckpoint
from eval.engine import Answer, Request, Sampling
from eval.engines.served import ServedEngine
from eval.engines.served_identity import served_checkpoint, served_sampling
from mergescope.ground.errors import MergescopeError
from tests.eval.served import Body, Reply, Server, completion, refusal, serving

KEY = "canary-key-58"
SAMPLING = served_sampling(SamplingSection(max_tokens=16), 5)
TODAY = datetime.now(UTC).date().isoformat()
Make = Callable[..., ServedCheckpoint]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SERVED_KEY", KEY)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    with serving(Server()) as one:
        one.rule = echo
        yield one


@pytest.fixture
def section(server: Server) -> Make:
    def make(**changes: Any) -> ServedCheckpoint:
        settings = {"kind": "served", "name": "rival", "model": "m", "api_key_env": "SERVED_KEY", "timeout_s": 2}
        return ServedCheckpoint.model_validate({**settings, "base_url": server.base_url, **changes})

    return make


def echo(body: Body) -> Reply:
    """An answer with the question and its seed."""
    words = f"{body['messages'][-1]['content']} {body.get('seed')}"
    return completion(words, "stop", system_fingerprint="v1")


def requests(count: int = 1) -> list[Request]:
    return [Request(({"role": "user", "content": f"question {i}"},), 100 + i) for i in range(count)]


def answers(section: ServedCheckpoint, folder: Path, count: int = 1, sampling: Sampling = SAMPLING) -> list[Answer]:
    engine = ServedEngine(section, served_checkpoint(section, folder), folder)
    given = dict(engine.generate(requests(count), sampling))
    engine.close()
    assert sorted(given) == list(range(count))
    return [given[place] for place in range(count)]


def test_answers_with_reason_and_tokens(server: Server, section: Make, tmp_path: Path) -> None:
    assert answers(section(), tmp_path, 20) == [Answer(f"question {i} {100 + i}", "stop", 5) for i in range(20)]
    sent = next(body for body in server.requests if body["messages"][0]["content"] == "question 3")
    assert sent == {
        "model": "m", "messages": [{"role": "user", "content": "question 3"}], "temperature": 0.0, "max_tokens": 16,
        "seed": 103,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (completion("cut of", "length"), Answer("cut of", "length", 5)),
        (completion(None, refusal="I will not."), Answer("I will not.", "stop", 5)),
        (completion("half an ans", "content_filter"), Answer("", "stop", 0, "filter")),
        (refusal(400, "blocked", "content_filter"), Answer("", "stop", 0, "filter")),
        (refusal(400, "maximum context length is 64 tokens"), Answer("", "stop", 0, "too_long")),
        (refusal(400, "not like this"), Answer("", "stop", 0, "rejected")),
        (completion(None, "length"), Answer("", "stop", 0, "server")),
        (completion(None, refusal=""), Answer("", "stop", 0, "server")),
        (refusal(500), Answer("", "stop", 0, "server")),
        (Reply(200, completion("late").body, after_s=2.5), Answer("", "stop", 0, "timeout")),
    ],
)
def test_an_error_is_never_a_text(
    server: Server, section: Make, tmp_path: Path, reply: Reply, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    server.rule = None
    server.script = [completion("Hi!"), completion("first"), reply]
    engine = ServedEngine(section(), served_checkpoint(section(), tmp_path), tmp_path)
    assert dict(engine.generate(requests(), SAMPLING)) == {0: Answer("first", "stop", 5)}
    assert dict(engine.generate(requests(2)[1:], SAMPLING)) == {0: answer}


def test_what_was_received_is_not_paid_again(server: Server, section: Make, tmp_path: Path) -> None:
    first = answers(section(), tmp_path, 10)
    assert answers(section(), tmp_path, 12)[:10] == first
    assert sum(body["messages"][0]["content"] != "Hi" for body in server.requests) == 12
    other = served_sampling(SamplingSection(max_tokens=17), 5)
    answers(section(), tmp_path, 10, other)
    assert sum(body["messages"][0]["content"] != "Hi" for body in server.requests) == 22


def test_a_completion_without_a_text_is_asked_again_by_the_next_run(
    server: Server, section: Make, tmp_path: Path
) -> None:
    server.rule = lambda _: completion(None, "length", system_fingerprint="v1")
    assert answers(section(), tmp_path) == [Answer("", "stop", 0, "server")]
    assert len(server.requests) == 2  # the greeting and the question, once
    server.rule = echo
    assert answers(section(), tmp_path) == answers(section(), tmp_path) == [Answer("question 0 100", "stop", 5)]
    assert sum(body["messages"][0]["content"] != "Hi" for body in server.requests) == 2


def test_a_name_that_no_file_can_hold_is_no_obstacle(server: Server, section: Make, tmp_path: Path) -> None:
    server.rule = lambda _: completion("x", model="m\ud800", system_fingerprint="v\ud800")
    assert answers(section(), tmp_path) == answers(section(), tmp_path) == [Answer("x", "stop", 5)]
    assert record(tmp_path)["reported"] == "m\ufffd"


def test_the_weights_of_a_server_are_out_of_reach(section: Make, tmp_path: Path) -> None:
    engine = ServedEngine(section(), served_checkpoint(section(), tmp_path), tmp_path)
    assert engine.places == {}
    with pytest.raises(MergescopeError, match="rival: a served model's weights cannot be swapped"):
        engine.load(lambda _: iter(()))
    with pytest.raises(MergescopeError, match=r"rival: a chat server tells no likelihoods.*kind: model"):
        engine.log_likelihoods(["a text"])


def record(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "served" / "rival.json").read_text())
    return read


def test_the_record_keeps_the_first_contact(server: Server, section: Make, tmp_path: Path) -> None:
    first = served_checkpoint(section(), tmp_path)
    host = f"127.0.0.1:{server.port}"
    known = {"host": host, "asked": "m", "reported": "served-1", "version": "v1", "date": TODAY}
    assert record(tmp_path) == first.recipe == known
    assert first.note is None
    path = tmp_path / "served" / "rival.json"
    path.write_text(json.dumps({**known, "date": "2026-01-31"}))
    earlier = served_checkpoint(section(), tmp_path)
    assert earlier.recipe["date"] == "2026-01-31"
    assert earlier.note is None
    assert earlier.checkpoint_id != first.checkpoint_id
    assert served_checkpoint(section(concurrency=3, timeout_s=1), tmp_path) == earlier
    assert KEY not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def test_another_reported_model_is_another_checkpoint(server: Server, section: Make, tmp_path: Path) -> None:
    first = served_checkpoint(section(), tmp_path)
    server.rule = lambda _: completion("x", model="served-2", system_fingerprint="v1")
    second = served_checkpoint(section(), tmp_path)
    assert second.checkpoint_id != first.checkpoint_id
    assert second.note == (
        f"rival: served-2 at 127.0.0.1:{server.port} answers now, not served-1 at 127.0.0.1:{server.port} "
        f"since {TODAY}: a new checkpoint"
    )
    assert record(tmp_path)["reported"] == "served-2"


def test_another_version_is_said(server: Server, section: Make, tmp_path: Path) -> None:
    first = served_checkpoint(section(), tmp_path)
    server.rule = lambda _: completion("x", system_fingerprint="v2")
    again = served_checkpoint(section(), tmp_path)
    assert again.checkpoint_id == first.checkpoint_id
    assert again.note == f"rival: the server's version is v2, and was v1 on {TODAY}"


def test_a_model_that_changes_on_the_way_stops_the_run(server: Server, section: Make, tmp_path: Path) -> None:
    identity = served_checkpoint(section(), tmp_path)
    server.rule = lambda _: completion("x", model="served-2")
    with pytest.raises(MergescopeError, match="rival: another model answers than at first contact: served-2, not se"):
        dict(ServedEngine(section(), identity, tmp_path).generate(requests(), SAMPLING))
    server.rule = echo  # what the other one said is not taken for this one's
    assert answers(section(), tmp_path) == [Answer("question 0 100", "stop", 5)]


def test_a_server_out_of_reach_is_who_the_record_says(server: Server, section: Make, tmp_path: Path) -> None:
    away = section(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(MergescopeError, match=r"127\.0\.0\.1:9: the server of rival cannot be reached"):
        served_checkpoint(away, tmp_path)
    known = served_checkpoint(section(), tmp_path)
    server.rule = lambda _: refusal(500)
    again = served_checkpoint(section(), tmp_path)
    assert again.checkpoint_id == known.checkpoint_id
    assert again.note == f"the server of rival gives no answer: server; its answers since {TODAY} stand"
    with pytest.raises(MergescopeError, match="cannot be reached"):
        served_checkpoint(away, tmp_path)  # the record is of another host


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [(refusal(401), "refuses the key.*SERVED_KEY"), (refusal(404), "does not know 'm'")],
)
def test_what_no_retry_mends_is_said_at_first_contact(
    server: Server, section: Make, tmp_path: Path, reply: Reply, complaint: str
) -> None:
    server.rule = lambda _: reply
    with pytest.raises(MergescopeError, match=complaint):
        served_checkpoint(section(), tmp_path)
    assert not (tmp_path / "served" / "rival.json").exists()


def test_a_missing_key_is_named(section: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVED_KEY")
    with pytest.raises(MergescopeError, match="environment variable SERVED_KEY: the key of the server of rival"):
        served_checkpoint(section(), tmp_path)


def test_the_sampling_of_a_greedy_answer_has_no_seed() -> None:
    greedy, warm = SamplingSection(), SamplingSection(temperature="0.7")  # type: ignore[arg-type]
    assert served_sampling(greedy, 1).sampling_id == served_sampling(greedy, 2).sampling_id
    assert served_sampling(warm, 1).sampling_id != served_sampling(warm, 2).sampling_id
    assert served_sampling(warm, 1).setting["engine"] == "openai"
