"""The model card: what Hugging Face's own parser reads, and text that nobody's words can break."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from merge.bundle import BundleInputs, write_bundle
from merge.card import model_card
from merge.front_matter import front_matter
from tests.merge.conftest import DEMO_POINT, a_point, a_story, an_estimate


def a_manifest(**others: Any) -> dict[str, Any]:
    """As much of a manifest as a card is made from."""
    story = a_story()
    entry = {"name": "./inputs/x", "hub": None, "weights_sha256": "0" * 64}
    return {
        "merge_id": "c1_0",
        "inputs": {
            "base": {**entry, "hub": "owner/base@abc"},
            "safe": {**entry, "hub": "owner/fine@1"},
            "useful": {**entry, "hub": "owner/fine@2"},
        },
        "seed": 1,
        "threads": 1,
        "kernel_level": "avx2",
        "out_dtype": "bfloat16",
        "versions": {"mergekit": "0.1.5"},
        "choice": story.choice,
        "provenance": story.provenance,
        "gates": [],
        "not_compared": [],
        "release": "no gate closed",
        "evaluated": True,
        **others,
    }


def test_the_hubs_own_parser_reads_metadata_and_metrics(bundle: Path) -> None:
    card = ModelCard.load(bundle / "README.md", ignore_metadata_errors=False)
    card.validate_form = None
    data = card.data
    assert data.to_dict()["base_model_relation"] == "merge"
    assert data.library_name == "transformers"
    assert data.tags == ["mergekit", "merge", "mergescope"]
    assert data.language == ["ja"]
    assert data.license == "apache-2.0"
    results = {(r.dataset_split, r.metric_type): r for r in data.eval_results}
    assert set(results) == {("select", "safety"), ("confirm", "safety")}  # refusal_f1 has no value
    found = results["confirm", "safety"]
    assert found.metric_value == 4.5
    assert found.metric_name == "safety by proxy ja (95 % 4.000 to 4.750, n 60)"
    assert found.dataset_name == "seen"
    assert data.model_name == json.loads((bundle / "manifest.json").read_text())["merge_id"]


def metadata(manifest: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """The front matter as the Hub's parser gives it back."""
    found: dict[str, Any] = ModelCard(f"---\n{front_matter(manifest, scores)}---\ntext").data.to_dict()
    return found


def test_ancestors_are_named_once_and_without_revision() -> None:
    assert metadata(a_manifest(), a_story().scores)["base_model"] == ["owner/base", "owner/fine"]


@pytest.mark.parametrize(
    ("licence", "wanted"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("unknown", {"license": "other", "license_name": "unknown"}),
        ("", {"license": "other", "license_name": "unknown"}),
        ("Our Own, v2: <b>", {"license": "other", "license_name": "our-own-v2-b"}),
        ("x\n---\nevil: 1", {"license": "other", "license_name": "x-----evil-1"}),
    ],
)
def test_licences(licence: str, wanted: dict[str, str]) -> None:
    provenance = {**a_story().provenance, "licence": licence}
    found = metadata(a_manifest(provenance=provenance), a_story().scores)
    assert {key: found[key] for key in wanted} == wanted
    assert "evil" not in found


def test_without_scores_there_is_no_model_index_and_the_card_says_so() -> None:
    scores = {"prompt_sets": [], "judges": []}
    manifest = a_manifest(evaluated=False)
    assert "model-index" not in metadata(manifest, scores)
    card = model_card(DEMO_POINT, manifest, scores, "x: 1\n")
    assert "This point was not evaluated" in card
    assert "no judge has scored this point" in card


def test_a_judge_that_never_saw_the_point_says_so() -> None:
    assert "This judge has no scores of this point." in model_card(DEMO_POINT, a_manifest(), a_story().scores, "")


def test_unscored_answers_show_their_number_and_their_bounds() -> None:
    scores = json.loads(json.dumps(a_story().scores))
    point = scores["judges"][0]["checkpoints"][0]
    point["splits"]["confirm"]["safety"] = an_estimate(4.5, n_unscored=7, worst=3.25, best=4.75)
    card = model_card(DEMO_POINT, a_manifest(), scores, "")
    assert "4.500 (4.000 to 4.750), 7 unscored: 3.250 to 4.750, n 60" in card


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("complementary", ["w = r = 0.3,", "w = 1 - r = 0.7,", "theta_0 the base"]),
        ("additive", ["w = r = 0.3,", "w = 1 = 1,"]),
        ("into-useful", ["w = r = 0.3,", "theta_0 model-useful"]),
    ],
)
def test_the_weights_stand_as_formulae(mode: Any, wanted: list[str]) -> None:
    card = model_card(a_point("0.3", mode=mode), a_manifest(), a_story().scores, "")
    for part in wanted:
        assert part in card


HOSTILE = "</td><script>alert(1)</script> | ![x](http://203.0.113.1) `a` \u202e\x1b[31m\n# title\n---\n"


def test_nobodys_words_break_the_card() -> None:
    story = a_story()
    scores = json.loads(json.dumps(story.scores))
    scores["judges"][0]["label"] = scores["prompt_sets"][0]["name"] = scores["prompt_sets"][0]["licence"] = HOSTILE
    model = {"source": HOSTILE, "licence": HOSTILE, "made_by": [HOSTILE]}
    row = {"source": HOSTILE, "licence": HOSTILE, "made_by": HOSTILE, "triples": 1}
    provenance = {
        "licence": HOSTILE,
        "language": ["ja"],
        "models": {"base": model},
        "training_data": {"safe": [row]},
        "notes": [HOSTILE],
    }
    choice = {"rule": HOSTILE, "by": HOSTILE, "when": "now", "note": HOSTILE}
    gates = [{"label": "vendor-terms", "text": HOSTILE, "acknowledged": False}]
    manifest = a_manifest(provenance=provenance, choice=choice, gates=gates, not_compared=[HOSTILE])
    card = model_card(DEMO_POINT, manifest, scores, "x: 1\n")
    _, _, text = card.split("---\n", 2)
    assert ModelCard(card).data.language == ["ja"]
    assert not re.search(r"(?<!\\)\]\(", text)
    for bad in ("<script", "\u202e", "\x1b", "\n# title"):
        assert bad not in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {line.count(" | ") for line in lines if "alert" in line and "`a`" not in line}
    assert widths <= {1, 2, 3, 4}


def test_the_card_is_written_as_it_is_made(tmp_path: Path, inputs: BundleInputs) -> None:
    write_bundle(tmp_path / "b", DEMO_POINT, inputs, a_story())
    card = (tmp_path / "b" / "README.md").read_text()
    assert card.startswith("---\nbase_model: []\nbase_model_relation: merge\n")
    assert (tmp_path / "b" / "mergekit.yaml").read_text() in card
