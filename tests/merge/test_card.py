"""The model card: what Hugging Face's own parser reads, and text that nobody's words can break."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from merge.bundle import BundleInputs, write_bundle
from merge.card import model_card
from merge.front_matter import front_matter
from tests.merge.conftest import DEMO_POINT, a_point, a_story, an_estimate


def a_manifest(**others: Any) -> dict[str, Any]:
    """As much of a manifest as a card is made from."""
    story = a_story()
    entry = {"name": "./inputs/x", "hub": None, "weights_sha256": "0" * 64}
    return {
        "merge_id": "c2_0",
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
    assert not {"base_model", "base_model_relation"} & set(data.to_dict())  # none of the models has a Hub id
    assert data.library_name == "transformers"
    assert data.tags == ["mergekit", "merge", "mergescope"]
    assert data.language == ["ja"]
    assert data.license == "apache-2.0"
    results = {(r.dataset_split, r.metric_type): r for r in data.eval_results}
    assert set(results) == {
        (split, name) for split in ("select", "confirm") for name in ("safety", "over_refusal_rate")
    }  # refusal_f1 has no value
    assert [r.metric_type for r in data.eval_results][:2] == ["safety", "over_refusal_rate"]
    found = results["confirm", "safety"]
    assert found.metric_value == 4.5
    assert found.metric_name == "safety by proxy ja (95 % 4.000 to 4.750, n 60)"
    assert found.dataset_name == "seen"
    assert data.model_name == "demo: r = 0.3, dare_ties"


def metadata(manifest: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """The front matter as the Hub's parser gives it back."""
    found: dict[str, Any] = ModelCard(f"---\n{front_matter(DEMO_POINT, manifest, scores)}---\ntext").data.to_dict()
    return found


def test_ancestors_are_named_once_and_without_revision() -> None:
    found = metadata(a_manifest(), a_story().scores)
    assert (found["base_model"], found["base_model_relation"]) == (["owner/base", "owner/fine"], "merge")


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
    scores = {"study": "demo", "prompt_sets": [], "judges": []}
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


def test_the_headline_stands_first_with_the_better_direction_and_nothing_empty() -> None:
    card = model_card(DEMO_POINT, a_manifest(), a_story().scores, "")
    assert "\n# demo: r = 0.3, dare\\_ties\n" in card
    assert card.index("## Numbers") < card.index("## How it was made")
    names = [line.split(" | ")[0:2] for line in card.splitlines() if line.startswith(("| safety", "| over", "| use"))]
    assert names[:2] == [["| safety", "↑ higher, 1 to 5"], ["| over refusal rate", "↓ lower, 0 to 1"]]
    assert "| refusal f1" not in card


def test_a_headline_metric_without_a_number_says_what_is_missing() -> None:
    scores = json.loads(json.dumps(a_story().scores))
    point = scores["judges"][0]["checkpoints"][0]["splits"]
    for split in point.values():
        split["usefulness"] = an_estimate(None)
        split["fluency"] = split["relevance"] = an_estimate(4.0)
    point["select"]["balance"] = an_estimate(None, note="fewer than 5 items")
    card = model_card(DEMO_POINT, a_manifest(), scores, "")
    assert "No number for usefulness: the judge gave no score for accuracy, detail.\n" in card
    assert "No number for balance: fewer than 5 items.\n" in card


def test_one_word_for_what_nobody_told() -> None:
    provenance = {**a_story().provenance, "licence": "unknown"}
    choice = {"rule": None, "by": "", "when": "now", "note": None}
    card = model_card(DEMO_POINT, a_manifest(provenance=provenance, choice=choice), a_story().scores, "")
    _, _, text = card.split("---\n", 2)
    assert "Licence of the merge: not stated." in text
    assert text.count("| not stated |") >= 3
    assert not re.search("unknown|not recorded", text)


def test_roles_and_seed_stand_in_the_project_s_words() -> None:
    card = model_card(DEMO_POINT, a_manifest(), a_story().scores, "")
    assert "| model-safe | `owner/fine@1` |" in card
    assert "Made with mask seed 1, 1 thread and" in card
    assert "3 threads and" in model_card(DEMO_POINT, a_manifest(threads=3), a_story().scores, "")


def test_an_adapter_is_called_one() -> None:
    manifest = a_manifest()
    pair = {"base": "./inputs/base", "adapter": "owner/lora@1"}
    manifest["inputs"]["safe"] = {**manifest["inputs"]["safe"], "hub": None, "name": "./inputs/safe", "adapter": pair}
    card = model_card(DEMO_POINT, manifest, a_story().scores, "")
    assert "| model-safe | `./inputs/safe` = base + adapter: `./inputs/base` + `owner/lora@1` |" in card


def test_each_place_names_the_files_that_are_there() -> None:
    cards = {
        place: " ".join(model_card(DEMO_POINT, a_manifest(), a_story().scores, "", place).split())
        for place in ("bundle", "bundle with checkpoint", "checkpoint")
    }
    assert "The weights are not in this bundle" in cards["bundle"]
    assert "`Dockerfile` serves the checkpoint" in cards["bundle with checkpoint"]
    assert "lie in the bundle, beside this folder" in cards["checkpoint"]
    assert "beside this folder" not in cards["bundle"] + cards["bundle with checkpoint"]


@pytest.mark.parametrize("fence", ["```", "~~~", "``````"])
def test_a_template_with_fences_of_its_own_stays_in_the_code(fence: str) -> None:
    evil = f"chat_template: |-\n  {fence}\n  <script>alert(1)</script>\n{fence}\n\n# a title\n"
    tokens = MarkdownIt().parse(model_card(DEMO_POINT, a_manifest(), a_story().scores, evil))
    assert [token.content for token in tokens if token.type == "fence"] == [evil]
    assert not any(token.type == "html_block" for token in tokens)


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
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert (tmp_path / "b" / "mergekit.yaml").read_text() in card
