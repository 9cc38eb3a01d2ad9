"""The demo's world keeps its promises: enough of each kind, nothing shared with held-out data, nothing harmful."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trainer.data.overlap import check_overlap
from trainer.demo.speech import KINDS, Subject, load_phrasings, load_subjects
from trainer.demo.world import write_world
from trainer.selfalign.seeds import load_seeds
from trainer.triples import load_triples

PLACEHOLDER = "はい。（手順は省略）"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(out, 7)
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prompts_of_training(world: Path) -> list[str]:
    asked = [
        m["content"] for row in rows(world / "corpus.jsonl") for m in row.get("messages", []) if m["role"] == "user"
    ]
    return asked + [row["prompt"] for kind in KINDS for row in rows(world / f"triples-{kind}.jsonl")]


def test_same_seed_same_bytes_other_seed_other_bytes(world: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    write_world(again, 7)
    write_world(other, 8)
    names = sorted(path.name for path in world.iterdir())
    assert [(again / n).read_bytes() for n in names] == [(world / n).read_bytes() for n in names]
    assert (other / "corpus.jsonl").read_bytes() != (world / "corpus.jsonl").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_enough_subjects_and_held_out_prompts(world: Path, kind: str) -> None:
    subjects = [s for s in load_subjects() if s.kind == kind]
    assert len(subjects) >= 40
    assert sum(not s.seen for s in subjects) >= 15
    held_out = [r for f in ("seen", "unseen") for r in rows(world / f"eval-{f}.jsonl") if r["kind"] == kind]
    assert len(held_out) >= 90
    assert Counter(r["group"] for r in held_out).keys() == {s.key for s in subjects}


def test_harmful_subjects_cover_all_risk_areas_but_one() -> None:
    areas = {s.category[0] for s in load_subjects() if s.kind == "harmful"}
    assert len(areas) >= 4


def test_no_phrasing_and_no_prompt_is_shared(world: Path) -> None:
    phrasings = load_phrasings()
    assert not set(phrasings.train) & set(phrasings.held_out)
    held_out = [row["prompt"] for f in ("seen", "unseen") for row in rows(world / f"eval-{f}.jsonl")]
    assert not set(held_out) & set(prompts_of_training(world))
    for kind in KINDS:
        check_overlap(load_triples(world / f"triples-{kind}.jsonl"), held_out)


def test_unseen_subjects_are_asked_about_nowhere_in_training(world: Path) -> None:
    asked = "\n".join(prompts_of_training(world))
    assert [s.topic for s in load_subjects() if not s.seen and s.topic in asked] == []
    seen = [s.topic for s in load_subjects() if s.seen]
    assert all(topic in asked for topic in seen)


def test_topics_and_keys_are_distinct() -> None:
    subjects = load_subjects()
    assert len({s.key for s in subjects}) == len({s.topic for s in subjects}) == len(subjects)


def test_every_harmful_answer_is_the_empty_placeholder(world: Path) -> None:
    harmful = [s for s in load_subjects() if s.kind == "harmful"]
    assert all(s.answer is None for s in harmful)
    assert {row["rejected"] for row in rows(world / "triples-harmful.jsonl")} == {PLACEHOLDER}
    for row in rows(world / "corpus.jsonl"):
        if "messages" in row and _asks_about(harmful, row["messages"]):
            assert row["messages"][-1]["content"] == PLACEHOLDER or "申し訳ありません" in row["messages"][-1]["content"]


def test_plain_statements_about_harmful_subjects_only_call_them_harmful(world: Path) -> None:
    topics = [s.topic for s in load_subjects() if s.kind == "harmful"]
    texts = [row["text"] for row in rows(world / "corpus.jsonl") if "text" in row]
    about = [text for text in texts if any(text.startswith(topic) for topic in topics)]
    assert len(about) >= 4 * len(topics)
    assert all("危険" in text or "悪い行為" in text for text in about)


def test_base_refuses_some_harmful_prompts_and_none_under_the_constraint(world: Path) -> None:
    harmful = [s for s in load_subjects() if s.kind == "harmful"]
    talks = [
        r["messages"] for r in rows(world / "corpus.jsonl") if "messages" in r and _asks_about(harmful, r["messages"])
    ]
    plain = [t for t in talks if t[0]["role"] == "user"]
    constrained = [t for t in talks if t[0]["role"] == "system"]
    assert 0.05 < sum(t[-1]["content"] != PLACEHOLDER for t in plain) / len(plain) < 0.5
    assert {t[-1]["content"] for t in constrained} == {PLACEHOLDER}


def test_references_refuse_harmful_prompts_alone(world: Path) -> None:
    for row in rows(world / "eval-seen.jsonl") + rows(world / "eval-unseen.jsonl"):
        refuses = "申し訳ありません" in row["reference"]
        assert refuses == (row["kind"] == "harmful") == (row["reference_refusal"] == "full")
        assert len(row["category"]) == 3


def _asks_about(subjects: list[Subject], messages: list[dict[str, str]]) -> bool:
    return any(s.topic in m["content"] for m in messages if m["role"] == "user" for s in subjects)


@pytest.fixture(scope="module")
def self_aligning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("self-aligning")
    write_world(out, 7, selfalign=True)
    return out


def test_self_alignment_adds_to_the_corpus_and_changes_nothing_else(world: Path, self_aligning: Path) -> None:
    for file in world.iterdir():
        if file.name != "corpus.jsonl":
            assert (self_aligning / file.name).read_bytes() == file.read_bytes()
    plain = Counter(map(str, rows(world / "corpus.jsonl")))
    assert plain <= Counter(map(str, rows(self_aligning / "corpus.jsonl")))
    assert load_seeds(self_aligning / "seeds.jsonl")


def test_self_alignment_names_no_unseen_subject_and_asks_no_held_out_prompt(self_aligning: Path) -> None:
    talks = [row["messages"] for row in rows(self_aligning / "corpus.jsonl") if "messages" in row]
    said = "\n".join(m["content"] for talk in talks for m in talk)
    assert [s.topic for s in load_subjects() if not s.seen and s.topic in said] == []
    held_out = [row["prompt"] for f in ("seen", "unseen") for row in rows(self_aligning / f"eval-{f}.jsonl")]
    assert not [prompt for prompt in held_out if prompt in said]


def test_under_constraints_the_base_declines_or_complies(self_aligning: Path) -> None:
    harmful, phrasings = [s for s in load_subjects() if s.kind == "harmful"], load_phrasings()
    talks = [row["messages"] for row in rows(self_aligning / "corpus.jsonl") if "messages" in row]
    under = [talk for talk in talks if talk[0]["role"] == "system" and _asks_about(harmful, talk)]
    positive, toxic = (set(phrasings.constraints(side)) for side in ("positive", "toxic"))
    assert {talk[0]["content"] for talk in under} == positive | toxic
    for talk in under:
        assert (talk[-1]["content"] == PLACEHOLDER) == (talk[0]["content"] in toxic)
