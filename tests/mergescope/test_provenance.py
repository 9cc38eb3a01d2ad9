"""What a bundle says of where models and data come from."""

from __future__ import annotations

from pathlib import Path

from mergescope.ground.files import write_manifest
from mergescope.ground.ids import file_hash
from mergescope.provenance import makers, provenance_of
from mergescope.study import load_study
from tests.mergescope.recipes import changed, demo, own_models, written
from tests.trainer.test_provenance import write_triples


def test_a_recipe_says_where_its_models_come_from(tmp_path: Path) -> None:
    raw = changed(own_models(), "models.base", "owner/base@main")
    raw["models"] |= {"licence": "MIT", "origin": {"safe": {"source": "our lab", "made_by": ["gpt-4o", "people"]}}}
    found = provenance_of(load_study(written(tmp_path, raw)))
    assert found["licence"] == "MIT"
    assert found["language"] == ["ja"]
    assert found["training_data"] == {}
    sources = {role: model["source"] for role, model in found["models"].items()}
    assert sources == {"base": "owner/base@main", "safe": "our lab", "useful": "not stated"}
    assert sorted(makers(found)) == ["gpt-4o", "people"]


def test_a_trained_study_counts_its_triples(tmp_path: Path) -> None:
    raw = demo()
    for role in ("safe", "useful"):
        raw["train"][role]["triples"] = ["a.jsonl"]
    raw["train"]["useful"]["triples"].append("b.jsonl")
    first = write_triples(tmp_path / "a.jsonl", {"made_by": "claude-3-haiku", "licence": "CC0-1.0"})
    write_triples(tmp_path / "b.jsonl", {"made_by": "people"})
    study = load_study(written(tmp_path, raw))
    for role, hashes in (("safe", [file_hash(first)]), ("useful", [file_hash(first), "0" * 64])):
        (study.folder / f"model-{role}").mkdir(parents=True)
        write_manifest(study.folder / f"model-{role}", stage_hash="x", content={"inputs": {"triples": hashes}})
    found = provenance_of(study)
    assert found["models"]["safe"]["source"] == "trained by this study"
    assert found["training_data"]["safe"] == [
        {"source": None, "licence": "CC0-1.0", "made_by": "claude-3-haiku", "triples": 1}
    ]
    assert sorted(makers(found)) == ["claude-3-haiku", "claude-3-haiku", "people"]
    assert found["notes"] == ["model-useful: the file of triples b.jsonl changed since the training."]
    assert "手順は省略" not in str(found)
    (tmp_path / "b.jsonl").unlink()
    assert provenance_of(study)["notes"] == [
        "model-useful: the file of triples b.jsonl is gone; its triples are not counted."
    ]
