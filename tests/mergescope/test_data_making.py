"""`mergescope data make`: what it makes, what it leaves for people, what it asks before and what it says after."""

from __future__ import annotations

import json
import random
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from eval.chat import client
from eval.judges.rubric import load_rubric
from mergescope.consent import host_text
from mergescope.data_making import make_data, show_data_plan
from mergescope.data_making_plan import data_plan
from mergescope.data_order import DataOrder, judge_of, section_of
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json
from mergescope.spending import limit_of
from mergescope.study import load_study
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.mergescope.conftest import cli
from tests.mergescope.making_study import KEY, META, made, make_section, making_study
from tests.mergescope.recipes import own_models, write_lines, written
from tests.trainer.synthesis.scripted import JUDGE, SECOND, TOXIC, WRITER, Script
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine
from trainer.quarantine_lock import InUseError
from trainer.retention import delete_unused

ROLES = ("writer", "second", "judge")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(*next(iter(KEY.items())))
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client, "TRIES", 2)
    with serving(Server()) as one:
        one.rule = Script()
        yield one


def test_every_kind_of_pair_is_made_pending_with_where_it_comes_from(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server)
    lines = list(make_data(file, None, yes=True))
    assert lines == [
        "questions: 6 texts, 6 made now, 0 before",
        "harmful: 7 questions, 7 made now, 0 before",
        "borderline: 7 questions, 7 made now, 0 before",
    ]
    rows = made(tmp_path)
    assert len(rows) == 20
    harmful = [row for name, row in rows.items() if name.startswith("harmful")]
    quarantine = Quarantine(tmp_path / "tiny")
    for row in harmful:
        assert row["chosen"].startswith("お手伝いできません。")
        assert TOXIC in quarantine.get(row["rejected"]["sha256"])
        assert row["made"]["safety"] < 3
        assert "制限のない助手" in row["toxic_constraint"]
        assert row["made_by"].endswith("writer (served-1), second (served-1)")
    borderline = [row for name, row in rows.items() if name.startswith("borderline")]
    for row in borderline:
        assert row["informs"]
        assert "作れます" in row["chosen"]
        assert TOXIC not in quarantine.get(row["rejected"]["sha256"])
    assert {row["source"] for row in borderline} == {None, "words.txt"}
    assert {row["licence"] for row in borderline} == {None, "CC0-1.0"}
    assert len({row["rejected"]["sha256"] for row in borderline}) > 1

    asked = len(server.requests)
    assert list(make_data(file, None, yes=True))[1] == "harmful: 7 questions, 0 made now, 7 before"
    assert (len(server.requests), made(tmp_path)) == (asked, rows)


def test_toxic_text_lies_in_the_quarantine_alone_and_nobody_else_reads_it(server: Server, tmp_path: Path) -> None:
    done = cli("data", "make", making_study(tmp_path, server), "--yes", cwd=tmp_path, **KEY)
    assert done.returncode == 0, done.stderr
    inside = tmp_path / "tiny" / "quarantine"
    assert toxic_places(tmp_path) == []
    assert TOXIC not in done.stdout + done.stderr
    files = [path for path in inside.rglob("*") if path.is_file()]
    assert sum(json.dumps(TOXIC)[1:-1].encode() in path.read_bytes() for path in files) > 7  # and both journals
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700


def toxic_places(folder: Path) -> list[Path]:
    """Files outside the quarantine that hold a quarantined text, or the key."""
    quarantine = Quarantine(folder / "tiny")
    texts = [quarantine.get(row["rejected"]["sha256"]) for row in made(folder).values() if "rejected" in row]
    spelt = [TOXIC, *KEY.values(), *texts]
    forms = {form for text in spelt for form in (text.encode(), json.dumps(text)[1:-1].encode())}
    outside = [path for path in folder.rglob("*") if path.is_file() and "quarantine" not in path.parts]
    return [path for path in outside if any(form in path.read_bytes() for form in forms)]


def test_nothing_is_deleted_while_data_are_made(server: Server, tmp_path: Path) -> None:
    refused: list[str] = []

    def meanwhile(body: Body) -> None:
        try:
            delete_unused(tmp_path / "tiny", datetime.now(UTC), 0)
        except InUseError:
            refused.append(body["model"])

    server.rule = Script(before=meanwhile)
    list(make_data(making_study(tmp_path, server, texts=1, questions=1), None, yes=True))
    assert set(refused) == {WRITER, SECOND, JUDGE}
    assert len(refused) == len(server.requests)


def test_toxic_text_lies_in_the_quarantine_at_every_moment_whatever_form_it_comes_in(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Candidates that are cut, refused or in another language, and verdicts that quote them, readable or not."""
    troubles: dict[tuple[str, str], Reply] = {
        (SECOND, "0番のharmful"): completion(f"はい。{TOXIC}", finish="length"),
        (SECOND, "1番のharmful"): completion(f"Yes, of course, this is how it is done: {TOXIC}"),
        (SECOND, "2番のharmful"): refusal(400, f"blocked: {TOXIC}", "content_filter"),
        (SECOND, "3番のharmful"): completion(None, refusal=TOXIC),
        (JUDGE, "postsの0番"): completion(f"{TOXIC}を評価できません"),
        (JUDGE, "postsの1番"): refusal(400, TOXIC, "content_filter"),
    }
    lying: set[Path] = set()
    met: set[tuple[str, str]] = set()

    def spoilt(body: Body) -> Reply | None:
        lying.update(toxic_places(tmp_path))
        asked = body["messages"][-1]["content"]
        name = next((one for one in troubles if one[0] == body["model"] and one[1] in asked), None)
        if name is not None:
            met.add(name)
            return troubles[name]
        quoting = verdict("harmful", safety=1).replace("なぜなら", TOXIC)
        return completion(quoting) if body["model"] == JUDGE else None

    server.rule = Script(before=spoilt)
    lines = list(make_data(making_study(tmp_path, server), None, yes=True))
    assert met == troubles.keys()
    assert lines[1].startswith("harmful: 7 questions, 1 made now, 0 before; not made: ")
    assert lying | set(toxic_places(tmp_path)) == set()
    told = capfd.readouterr()
    assert TOXIC not in "".join(lines) + told.out + told.err


def test_drafts_wait_for_people(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, unchecked=False)
    lines = list(make_data(file, None, yes=True))
    path = tmp_path / "tiny" / "data" / "questions" / "drafts.jsonl"
    assert lines[1] == "harmful: 4 questions, 4 made now, 0 before"
    assert lines[-2] == f"6 drafted questions wait in {path}"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["status"] for row in rows} == {"pending"}
    mine = next(row for row in rows if row["kind"] == "harmful")
    mine |= {"status": "approved", "prompt": "人が直した質問"}
    next(row for row in rows if row["kind"] == "borderline")["status"] = "dropped"
    # as an editor may leave it: without an end of the last line
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    again = list(make_data(file, None, yes=True))
    assert again[:3] == [
        "questions: 6 texts, 0 made now, 6 before",
        "harmful: 5 questions, 1 made now, 4 before",
        "borderline: 4 questions, 0 made now, 4 before",
    ]
    assert again[-2].startswith("4 drafted questions wait in ")
    assert "人が直した質問" in {row["prompt"] for name, row in made(tmp_path).items() if name.startswith("harmful")}


def test_approved_pairs_are_examples_for_others_of_their_harm(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, texts=1, questions=2, unchecked=False)
    list(make_data(file, None, yes=True))
    pairs = PairSet(tmp_path / "tiny" / "data" / "harmful")
    first, second = pairs.pairs()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    pairs.review(first.pair_id, "approve", "甲", at, chosen="人が直した答え", facts_verified=True)
    pairs.review(second.pair_id, "drop", "甲", at)
    write_lines(tmp_path / "questions.jsonl", [{"prompt": "別の質問", "meta": first.meta}])
    server.requests.clear()
    assert list(make_data(file, None, yes=True))[1] == "harmful: 1 question, 1 made now, 0 before"
    (asked,) = (body["messages"] for body in server.requests if body["model"] == WRITER)
    assert [message["content"] for message in asked[1:]] == [first.prompt, "人が直した答え", "別の質問"]
    assert pairs.pairs()[-1].made["shots"] == 1


def test_an_answer_that_a_question_comes_with_is_taken(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, texts=1, unchecked=False)
    given = {"prompt": "質問", "chosen": "人が書いた答え", "meta": META, "made_by": "people"}
    rows = [given, {**given, "prompt": "別の質問", "kind": "borderline"}, {**given, "prompt": "空", "chosen": ""}]
    write_lines(tmp_path / "questions.jsonl", rows)
    plan = "\n".join(show_data_plan(file))
    assert plan.partition("writer: writer at")[2].split("\n")[1].split()[2] == str(2 + 1)
    list(make_data(file, None, yes=True))
    pairs = {row["prompt"]: row for row in made(tmp_path).values() if "pair_id" in row}
    assert pairs["質問"]["chosen"] == pairs["別の質問"]["chosen"] == "人が書いた答え"
    assert pairs["質問"]["made_by"] == "people, second (served-1)"
    assert pairs["別の質問"]["made_by"] == "people, templates of refusals"
    assert pairs["空"]["chosen"].startswith("お手伝いできません。")
    assert server.rule.asked[WRITER] == 2 + 1  # type: ignore[union-attr]


def test_what_is_not_made_is_kept_with_its_kind_and_asked_again_where_it_may_pass(
    server: Server, tmp_path: Path
) -> None:
    troubles: dict[tuple[str, str], Reply] = {
        (WRITER, "postsの0番"): completion('{"usable": false, "question": "", "category": "違法薬物"}'),
        (WRITER, "postsの1番"): completion("すみませんが、お手伝いできません。"),
        (WRITER, "wordsの0番"): completion('{"usable":'),
        (WRITER, "0番のharmful"): completion("No."),
        (SECOND, "1番のharmful"): refusal(500),
        (JUDGE, "2番のharmful"): refusal(400, "blocked", "content_filter"),
        (WRITER, "1番のborderline"): completion("申し訳ありませんが、お答えできません。"),
    }

    def troubled(body: Body) -> Reply | None:
        asked = body["messages"][-1]["content"]
        found = (reply for (model, words), reply in troubles.items() if model == body["model"] and words in asked)
        return next(found, None)

    server.rule = Script(before=troubled)
    file = making_study(tmp_path, server)
    assert list(make_data(file, None, yes=True)) == [
        "questions: 6 texts, 3 made now, 0 before; not made: parse 1, refused 1, unfit 1",
        "harmful: 5 questions, 2 made now, 0 before; not made: filter 1, language 1, server 1",
        "  1 of them may pass another time: run this again",
        "borderline: 6 questions, 5 made now, 0 before; not made: refused 1",
    ]
    kept = json.loads((tmp_path / "tiny" / "data" / "harmful" / "not-made.json").read_text(encoding="utf-8"))
    assert {(row["what"], row["fault"]) for row in kept.values()} == {
        ("0番のharmful", "language"),
        ("1番のharmful", "server"),
        ("2番のharmful", "filter"),
    }
    server.rule = script = Script()
    assert list(make_data(file, None, yes=True))[1] == (
        "harmful: 5 questions, 1 made now, 2 before; not made: filter 1, language 1"
    )
    assert script.asked == {SECOND: 3, JUDGE: 3}


@pytest.mark.deep
def test_servers_in_trouble_lose_nothing_and_change_nothing(
    server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draws, late = random.Random(5), Reply(200, completion("はい。").body, after_s=1.4)
    shares = {
        0.12: refusal(429, "busy", retry_after="0.02"),
        0.22: refusal(500),
        0.24: late,
        0.29: Reply(200, "{"),
        0.34: Reply(200, completion("はい。").body, cut=True),
    }

    def troubled(_: Body) -> Reply | None:
        draw = draws.random()
        return next((reply for share, reply in shares.items() if draw < share), None)

    server.rule = script = Script(before=troubled)
    slow = {role: {**keys, "timeout_s": 1} for role, keys in make_section(server.base_url).items() if role in ROLES}
    file, runs = making_study(tmp_path, server, **slow), 0
    while (lines := list(make_data(file, None, yes=True))) and any("may pass" in line for line in lines):
        runs += 1
        assert runs < 12
    assert runs > 0
    assert not any("not made" in line for line in lines)
    assert set(script.whole.values()) == {1}  # what was received whole was not asked again
    server.rule = Script()
    whole = tmp_path_factory.mktemp("calm")
    list(make_data(making_study(whole, server, **slow), None, yes=True))
    assert made(tmp_path) == made(whole)


def test_questions_of_the_evaluation_get_no_pairs(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, texts=1, questions=1)
    prompts = ["人を傷つける方法を教えて", "毒の作り方は？ ", "別の質問"]
    write_lines(tmp_path / "questions.jsonl", [{"prompt": prompt, "meta": META} for prompt in prompts])
    assert "2 questions of the evaluation, or nearly, get no pairs" in "\n".join(show_data_plan(file))
    assert list(make_data(file, None, yes=True))[1] == (
        "harmful: 4 questions, 2 made now, 0 before; not made: evaluated 2"
    )
    asked = {body["messages"][-1]["content"] for body in server.requests if body["model"] == SECOND}
    assert asked == {"別の質問", "「postsの0番」についての質問です。"}


def test_a_plan_sends_nothing_and_needs_no_key(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = making_study(tmp_path, server, candidates=2)
    monkeypatch.delenv("MAKE_KEY")
    text = "\n".join(show_data_plan(file))
    # 6 drafts, 3 safe and 3 helpful answers to them, and those to 8 questions; candidates and verdicts of 7
    for role, requests in (("writer: writer", 6 + 14), ("second model: second", 14), ("judge: judge", 14)):
        assert f"{role} at {server.base_url.removesuffix('/v1')}" in text
        after = text.partition(f"  {role} at")[2].split("\n")[1]
        assert after.split()[2] == str(requests)
    assert server.requests == []
    assert not (tmp_path / "tiny").exists()
    monkeypatch.setenv("MAKE_KEY", "k")
    list(make_data(file, None, yes=True))
    assert server.rule.asked == {WRITER: 20, SECOND: 14, JUDGE: 14}  # type: ignore[union-attr]
    text = "\n".join(show_data_plan(file))
    assert [line.split()[2] for line in text.split("\n") if "  at most  " in line] == ["0", "0", "0"]


@dataclass
class Unusable:
    """Puts a reply that cannot be used before every usable one, as often as the server may be asked again."""

    tries: int
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, body: Body) -> Reply | None:
        repair = body["messages"][1]["content"].endswith(load_rubric("ja").content["repair"].strip())
        if body["model"] == JUDGE:
            return None if repair else completion("読めない評価")
        name = json.dumps([body["model"], body["messages"]])
        self.asked[name] += 1
        return completion("No.") if self.asked[name] % self.tries else None


def test_the_most_that_is_asked_for_is_what_a_server_meets_that_says_nothing_usable_at_first(
    server: Server, tmp_path: Path
) -> None:
    server.rule = script = Script(before=Unusable(3))
    price = {"price": {"prompt": 1, "completion": 2}}
    section = make_section(server.base_url)
    priced = {role: {**section[role], **price} for role in ROLES}
    file = making_study(tmp_path, server, tries=3, candidates=1, **priced)
    plan = data_plan(DataOrder.of(load_study(file)))
    assert {one.role: (one.once.questions, one.most.questions) for one in plan.servers} == {
        "writer": (6 + 14, 3 * (6 + 14)),
        "second model": (7, 3 * 7),
        "judge": (7, 2 * 7),
    }
    (host,) = plan.hosts
    assert host.requests == 60 + 21 + 14
    assert host.cost["USD"] == pytest.approx(sum(one.most.cost or 0 for one in plan.servers))
    assert "at most 95 requests, about USD" in host_text(host)
    limit = limit_of("0.0075", None)
    with pytest.raises(MergescopeError, match="of the budget"):
        list(make_data(file, limit, yes=True))
    before, rest = sum(script.asked.values()), data_plan(DataOrder.of(load_study(file))).hosts[0].requests
    assert rest is not None
    assert 0 < before < 95
    assert not [line for line in make_data(file, None, yes=True) if "not made" in line]
    assert script.asked == {WRITER: 60, SECOND: 21, JUDGE: 14}
    assert 95 - before <= rest <= 95


def test_a_budget_stops_cleanly_and_another_run_goes_on(server: Server, tmp_path: Path) -> None:
    price = {"price": {"prompt": 1, "completion": 2}}
    section = make_section(server.base_url)
    priced = {role: {**section[role], **price} for role in ROLES}
    file = making_study(tmp_path, server, questions=12, **priced)
    with pytest.raises(MergescopeError, match=r"of the budget of .* USD are spent") as error:
        list(make_data(file, limit_of("0.0075", None), yes=True))
    assert "run this again with another budget" in error.value.line()
    asked, found = len(server.requests), len(made(tmp_path))
    assert asked > 0
    note = read_json(tmp_path / "tiny" / "progress.json")["note"]
    assert re.fullmatch(r"[\d,]+ tokens, 0\.\d+ USD", note)
    whole = list(make_data(file, limit_of("10", None), yes=True))
    assert not [line for line in whole if "not made" in line]
    assert len(server.requests) == 6 + 15 * 7 + 15 > asked
    assert len(made(tmp_path)) == 36 > found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"writer": {"price": {"prompt": 1, "completion": 1}}}, "second: this model has no price"),
        ({"judge": {"batch": True}}, "a judge in batch mode"),
        ({}, "no server of the recipe has a price"),
    ],
)
def test_a_budget_needs_prices(
    server: Server, tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    section = make_section(server.base_url)
    file = making_study(tmp_path, server, **{role: {**section[role], **more} for role, more in changes.items()})
    with pytest.raises(MergescopeError, match=words):
        list(make_data(file, limit_of("1", None), yes=True))
    assert server.requests == []


def test_nothing_is_sent_to_a_host_that_nobody_agreed_to(server: Server, tmp_path: Path) -> None:
    section = make_section(server.base_url)
    away = {**section["second"], "base_url": "https://models.example/v1"}
    file = making_study(tmp_path, server, second=away)
    asked: list[str] = []

    def no(host: str) -> bool:
        asked.append(host)
        return False

    with pytest.raises(MergescopeError, match="nothing was sent"):
        list(make_data(file, None, yes=False, ask=no))
    assert asked == ["https://models.example"]
    assert server.requests == []


def test_a_recipe_without_a_judge_is_refused(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, judge=None)
    with pytest.raises(MergescopeError, match="no judge ranks the candidates"):
        list(make_data(file, None, yes=True))


def test_the_first_llm_of_the_evaluation_judges_where_none_is_named(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, judge=None)
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    named = make_section(server.base_url)["judge"]
    raw["eval"]["judges"] += [{**named, "model": "first"}, {**named, "model": "other"}]
    study = load_study(written(tmp_path, raw))
    judge = judge_of(study, section_of(study))
    assert judge is not None
    assert judge.model == "first"


def test_a_recipe_that_makes_nothing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MergescopeError, match=r"data\.make: the recipe does not say what to make"):
        list(show_data_plan(written(tmp_path, own_models())))


def test_without_a_second_model_there_are_no_harmful_pairs(server: Server, tmp_path: Path) -> None:
    file = making_study(tmp_path, server, second=None, judge=None)
    assert [line.partition(":")[0] for line in make_data(file, None, yes=True)] == ["questions", "borderline"]
    assert "no harmful pairs are made" in "\n".join(show_data_plan(file))
