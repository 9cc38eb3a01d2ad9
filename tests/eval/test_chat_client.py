"""The client of all servers, against a real one on this machine: retries, limits, the journal, and nothing leaked."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eval.chat import client
from eval.chat.bounded import MIB, REPLY
from eval.chat.client import Chat, Session, UnreachableError
from eval.chat.journal import Response
from eval.chat.place import Place
from eval.chat.refusals import Failure, retry_after
from mergescope.ground.errors import MergescopeError
from tests.eval.served import Body, Reply, Server, completion, refusal, serving

KEY = "canary-key-41"
Asked = dict[int, Response | Failure]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as one:
        yield one


@pytest.fixture
def chat(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chat]:
    monkeypatch.setenv("SOME_KEY", KEY)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)

    def make(concurrency: int = 16, timeout_s: float = 5.0, base_url: str | None = None) -> Chat:
        place = Place("the server", base_url or server.base_url, "m", "SOME_KEY", concurrency, timeout_s)
        return Chat(place, tmp_path / "journal" / "some.jsonl")

    return make


async def ask(session: Session, item: int) -> Response | Failure:
    return await session.ask(f"k{item}", lambda: body(item))


def body(item: int) -> Body:
    return {"model": "m", "messages": [{"role": "user", "content": f"question {item}"}], "max_tokens": 9}


def asked(chat: Chat, count: int = 1) -> Asked:
    return dict(chat.stream(range(count), ask))


def text(outcome: Response | Failure) -> str | None:
    assert isinstance(outcome, Response)
    return outcome.text


def test_a_response_in_full(server: Server, chat: Callable[..., Chat]) -> None:
    server.script = [completion("はい", "length", system_fingerprint="v7")]
    assert asked(chat())[0] == Response("k0", "はい", "length", None, "served-1", "v7", 15, 5, None, 10, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "text", "text": "one "}, {"type": "thinking", "thinking": []}, {"type": "text", "text": "two"}],
         "one two"),
        ([{"type": "thinking", "thinking": []}], None),
        ("a lone \ud800", "a lone \ufffd"),
    ],
)  # fmt: skip
def test_a_text_in_parts_or_with_what_no_file_can_hold(
    server: Server, chat: Callable[..., Chat], content: Any, said: str | None
) -> None:
    server.script = [completion(content, model="m\udfff", system_fingerprint="\ud800")]
    assert asked(chat())[0] == Response("k0", said, "stop", None, "m\ufffd", "\ufffd", 15, 5, None, 10, False)


def test_concurrency_grows_to_its_limit_and_no_further(server: Server, chat: Callable[..., Chat]) -> None:
    server.rule = lambda _: Reply(200, completion("x").body, after_s=0.1)
    one = chat(concurrency=24)
    assert len(asked(one, 300)) == 300
    assert server.most_in_flight == one.limit == 24


def test_an_overloaded_server_gets_fewer_at_once(server: Server, chat: Callable[..., Chat]) -> None:
    def rule(_: Body) -> Reply:
        if server.in_flight >= 5:
            return refusal(429, "busy")
        return Reply(200, completion("x").body, after_s=0.1)

    server.rule = rule
    one = chat(concurrency=64)
    assert {text(outcome) for outcome in asked(one, 200).values()} == {"x"}
    assert one.limit <= 8


def test_retry_after_is_waited_for(server: Server, chat: Callable[..., Chat]) -> None:
    server.script = [refusal(429, "busy", retry_after="0.6"), completion("x")]
    start = time.monotonic()
    assert text(asked(chat())[0]) == "x"
    assert 0.6 <= time.monotonic() - start < 5


@pytest.mark.parametrize("asked_for", ["0", formatdate(0, usegmt=True)])
def test_a_retry_after_of_nothing_does_not_burn_the_tries(
    server: Server, chat: Callable[..., Chat], asked_for: str
) -> None:
    server.script = [*[refusal(503, "busy", retry_after=asked_for)] * 4, completion("x")]
    start = time.monotonic()
    assert text(asked(chat())[0]) == "x"
    assert time.monotonic() - start >= 0.01 + 0.02 + 0.04 + 0.08


def test_retry_after_as_seconds_or_a_date_is_bounded() -> None:
    assert retry_after("7", 60) == 7
    assert retry_after("7000", 60) == 60
    assert retry_after("-7", 60) == 0
    assert retry_after(formatdate(time.time() + 30, usegmt=True), 60) == pytest.approx(30, abs=2)
    assert retry_after(formatdate(time.time() + 3000, usegmt=True), 60) == 60
    for unreadable in (None, "", "soon", "nan"):
        assert retry_after(unreadable, 60) is None


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_named_troubles_are_tried_again(server: Server, chat: Callable[..., Chat], status: int) -> None:
    server.script = [refusal(status), completion("x")]
    assert text(asked(chat())[0]) == "x"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, completion("x").body, after_s=3.0), "timeout"),
        (Reply(200, completion("x").body, cut=True), "server"),
        (Reply(200, "<html>a proxy's page</html>"), "server"),
        (Reply(200, {"choices": []}), "server"),
        (completion("half a te", "error"), "server"),
        (Reply(200, "[" * 3000), "server"),
        (refusal(500), "server"),
    ],
)
def test_a_lasting_trouble_has_a_kind(
    server: Server, chat: Callable[..., Chat], reply: Reply, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    server.script = [completion("x")]
    one = chat(timeout_s=1.5)
    asked(one)
    server.script = [reply]
    assert dict(one.stream([1], ask)) == {1: kind}
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(400, "blocked", "content_filter"), "filter"),
        (refusal(403, "content_policy_violation"), "filter"),
        (refusal(400, "flagged", "invalid_prompt"), "filter"),
    ],
)
def test_what_a_server_withholds_is_journalled_too(
    server: Server, chat: Callable[..., Chat], reply: Reply, kind: str
) -> None:
    server.script = [completion("x"), reply]
    one = chat()
    asked(one)
    assert dict(one.stream([1], ask)) == {1: Response("k1", error_kind=kind, structured=False)}  # type: ignore[arg-type]
    assert dict(chat().stream([1], ask)) == {1: Response("k1", error_kind=kind, structured=False)}  # type: ignore[arg-type]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(400, "x", "context_length_exceeded"), "too_long"),
        (refusal(400, "This model's maximum context length is 64 tokens."), "too_long"),
        (refusal(422, "something about this one"), "rejected"),
    ],
)
def test_what_a_server_does_not_take_is_asked_again_by_the_next_run(
    server: Server, chat: Callable[..., Chat], reply: Reply, kind: str
) -> None:
    server.script = [completion("x"), reply]
    one = chat()
    asked(one)
    assert dict(one.stream([1], ask)) == {1: kind}
    assert len(server.requests) == 2
    server.script = [completion("now")]
    assert text(dict(chat().stream([1], ask))[1]) == "now"


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_takes_nothing_any_more_stops_the_run(
    server: Server, chat: Callable[..., Chat], again: bool
) -> None:
    server.script = [completion("x"), refusal(400, "API key expired")]
    one = chat(concurrency=2)
    asked(one)
    with pytest.raises(MergescopeError, match="refuses the request: HTTP 400"):
        list((chat(concurrency=2) if again else one).stream(range(1, 50), ask))
    assert len(server.requests) <= 1 + 5 + 4  # the fifth in a row stops it; so many are under work
    server.script = [completion("x")]
    assert {text(outcome) for outcome in asked(chat(), 50).values()} == {"x"}


def test_a_request_rejected_now_and_then_stops_nothing(server: Server, chat: Callable[..., Chat]) -> None:
    odd = iter(range(1000))
    server.rule = lambda _: refusal(400, "not this one") if next(odd) % 2 else completion("x")
    outcomes = Counter(outcome if isinstance(outcome, str) else "text" for outcome in asked(chat(2), 60).values())
    assert outcomes == {"text": 30, "rejected": 30}


def test_one_bad_request_among_the_first_is_its_own_fault(server: Server, chat: Callable[..., Chat]) -> None:
    def rule(request: Body) -> Reply:
        if "question 0" in str(request["messages"]):
            return refusal(400, "not this one")
        return Reply(200, completion("x").body, after_s=0.1)

    server.rule = rule
    outcomes = asked(chat(), 10)
    assert outcomes.pop(0) == "rejected"
    assert {text(outcome) for outcome in outcomes.values()} == {"x"}


def test_one_bad_request_left_for_the_next_run_does_not_stop_it(server: Server, chat: Callable[..., Chat]) -> None:
    server.script = [completion("x"), refusal(400, "not this one")]
    asked(chat())
    assert dict(chat().stream([1], ask)) == {1: "rejected"}


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (refusal(401), r"127\.0\.0\.1:\d+: the server refuses the key: HTTP 401; check the environment variable SOME_"),
        (refusal(403), "refuses the key: HTTP 403; check the environment variable SOME_KEY"),
        (refusal(404), "does not know 'm': HTTP 404; correct model or base_url"),
        (Reply(404, {"detail": "Not Found"}), "has no such path: HTTP 404; correct base_url"),
        (refusal(429, "x", "insufficient_quota"), "has no quota left.*SOME_KEY"),
        (refusal(400), "refuses the request: HTTP 400"),
    ],
)
def test_what_every_request_would_meet_is_one_line(
    server: Server, chat: Callable[..., Chat], reply: Reply, complaint: str
) -> None:
    words = f"secret words {KEY}"
    shown = Reply(reply.status, {**reply.body, "message": words} if "error" in reply.body else reply.body)  # type: ignore[dict-item]
    server.script = [shown if reply.status != 429 else reply]
    with pytest.raises(MergescopeError, match=complaint) as caught:
        asked(chat(), 50)
    assert "secret words" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [thread for thread in threading.enumerate() if thread.name == "chat"]


def test_a_server_that_goes_away_stops_the_run(server: Server, chat: Callable[..., Chat]) -> None:
    server.script = [completion("x"), Reply(200, completion("x").body, cut=True)]
    with pytest.raises(MergescopeError, match=r"127\.0\.0\.1:\d+: the server cannot be reached"):
        asked(chat(concurrency=2), 50)


@pytest.mark.parametrize("heard", [False, True])
def test_a_server_that_falls_silent_stops_the_run(
    server: Server, chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    server.rule = lambda _: completion("x")
    one = chat(concurrency=2, timeout_s=0.3)
    if heard:
        asked(one)
    server.rule = lambda _: Reply(200, completion("x").body, after_s=60)
    with pytest.raises(UnreachableError, match=r"the server gives no answer within 0\.3 s"):
        list(one.stream(range(1, 50), ask))
    assert len(server.requests) < 30


def test_texts_go_to_no_other_host(server: Server, chat: Callable[..., Chat]) -> None:
    with serving(Server()) as other:
        other.script = [completion("x")]
        server.script = [Reply(307, {}, {"location": f"{other.base_url}/chat/completions"})]
        with pytest.raises(MergescopeError, match="sends elsewhere"):
            asked(chat())
        assert other.heads == []


def test_the_key_is_nowhere(
    server: Server,
    chat: Callable[..., Chat],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "canary-admin-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "canary-organization")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "canary-project")
    caplog.set_level(logging.DEBUG)
    server.script = [refusal(500, f"echo {KEY}"), refusal(400, f"echo {KEY}", "content_filter"), completion("x")]
    asked(chat(), 3)
    assert all(f"authorization: bearer {KEY}" in head.lower() for head in server.heads)
    assert not [head for head in server.heads if "canary-" in head.replace(KEY, "")]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [data for data in files if KEY.encode() in data]
    assert KEY not in caplog.text


def test_max_tokens_gets_the_name_that_the_server_takes(server: Server, chat: Callable[..., Chat]) -> None:
    def rule(request: Body) -> Reply:
        if "max_tokens" in request:
            return refusal(400, "Use 'max_completion_tokens' instead.", "unsupported_parameter")
        return completion(str(request["max_completion_tokens"]))

    server.rule = rule
    one = chat(concurrency=4)
    assert {text(outcome) for outcome in asked(one, 40).values()} == {"9"}
    assert sum("max_tokens" in request for request in server.requests) <= 4  # those in flight at first


def test_a_server_busy_for_long_gets_more_tries_than_one_that_fails(
    server: Server, chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE_S", 0.05)
    server.script = [*[refusal(429, "busy")] * (client.TRIES + 2), completion("x")]
    assert text(asked(chat())[0]) == "x"
    server.script = [refusal(429, "busy")]
    assert dict(chat().stream([1], ask)) == {1: "server"}
    assert len(server.requests) == client.TRIES + 3 + client.BUSY_TRIES


@pytest.mark.parametrize("key", ["", "two words", "line\n", "キー"])
def test_what_is_no_key_is_not_sent_or_shown(
    chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(MergescopeError, match="environment variable SOME_KEY: the key of the server") as caught:
        chat()
    assert not key or key not in str(caught.value)


def test_what_arrived_counts_though_the_caller_stopped(server: Server, chat: Callable[..., Chat]) -> None:
    server.rule = lambda _: completion("x")
    one = chat()
    results = one.stream(range(200), ask)
    next(results)
    results.close()  # type: ignore[attr-defined]
    received = sum(bool(one.journal.responses(f"k{i}")) for i in range(200))
    assert 0 < received < 200
    assert sum(bool(chat().journal.responses(f"k{i}")) for i in range(200)) == received


def test_responses_that_arrive_together_are_flushed_together(
    server: Server, chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[int] = []
    one = chat(concurrency=64)
    sync = one.journal.sync

    def slow() -> None:
        flushes.append(1)
        time.sleep(0.05)
        sync()

    monkeypatch.setattr(one.journal, "sync", slow)
    server.rule = lambda _: completion("x")
    start = time.monotonic()
    assert len(asked(one, 400)) == 400
    assert len(flushes) < 100
    assert time.monotonic() - start < 10


def test_a_full_disk_is_one_line(server: Server, chat: Callable[..., Chat], tmp_path: Path) -> None:
    one = chat()
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "some.jsonl").symlink_to("/dev/full")
    server.rule = lambda _: completion("x")
    with pytest.raises(MergescopeError, match="the disk is full"):
        asked(one, 50)


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(
    server: Server, chat: Callable[..., Chat], tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    (tmp_path / "journal").symlink_to(small_disk(1 << 16))
    (tmp_path / "journal" / "ballast").write_bytes(bytes(1 << 15))
    server.rule = lambda _: completion("x" * 3000)
    with pytest.raises(MergescopeError, match="the disk is full"):
        asked(chat(), 20)
    kept = len(server.requests)
    (tmp_path / "journal" / "ballast").unlink()
    one = chat()
    received = sum(bool(one.journal.responses(f"k{i}")) for i in range(20))
    assert 0 < received < kept
    assert len(asked(one, 15)) == 15
    assert all(chat().journal.responses(f"k{i}") for i in range(15))


def test_nothing_counts_before_it_is_on_disk(
    server: Server, chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = chat()
    monkeypatch.setattr(one.journal, "sync", partial(_refuse, MergescopeError("the disk is full")))
    server.script = [completion("x")]
    with pytest.raises(MergescopeError, match="the disk is full"):
        asked(one)
    assert one.journal.responses("k0") == []


def _refuse(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_of_the_environment_sees_nothing_meant_for_this_machine(
    server: Server, chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with serving(Server()) as proxy:
        proxy.script = [completion("from the proxy")]
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        server.script = [completion("from the server")]
        assert text(asked(chat(base_url=f"http://{host}:{server.port}/v1"))[0]) == "from the server"
        assert proxy.heads == []
        assert text(asked(chat(base_url="http://elsewhere.example/v1"), 2)[1]) == "from the proxy"


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (Reply(200, gzip.compress(bytes(64 * MIB)), {"content-encoding": "gzip"}), "compresses its replies"),
        (Reply(200, bytes(REPLY + 1)), "sends replies of more than 16 MiB"),
        (Reply(500, bytes(REPLY + 1)), "sends replies of more than 16 MiB"),
    ],
    ids=["compressed", "large", "large error"],
)
def test_no_reply_fills_the_memory(server: Server, chat: Callable[..., Chat], reply: Reply, what: str) -> None:
    server.script = [reply]
    with pytest.raises(UnreachableError, match=f"the server {what}"):
        asked(chat())
    assert "accept-encoding: identity" in server.heads[0].lower()


def test_one_large_reply_is_one_lost_answer(server: Server, chat: Callable[..., Chat]) -> None:
    def rule(sent: Body) -> Reply:
        return Reply(200, bytes(REPLY + 1)) if "question 1" in str(sent) else completion("はい")

    server.rule = rule
    one = chat(concurrency=1)
    assert text(asked(one)[0]) == "はい"
    assert asked(one, 3)[1] == "server"
    assert text(asked(one, 3)[2]) == "はい"
