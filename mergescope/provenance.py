"""What a study's models and data are, where they come from and who made them: the part of a bundle on provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merge.points import Role
from mergescope.ground.files import read_manifest
from mergescope.merges import ROLES
from mergescope.study import Origin, Study
from trainer.config import TrainSection
from trainer.provenance import counted
from trainer.training_data import data_hash


def provenance_of(study: Study) -> dict[str, Any]:
    """Plain JSON: `licence` of the merge, `language`, `models` by role, `training_data` by role, `notes`.

    Raises DataError for a malformed file of triples.
    """
    recipe = study.recipe
    return {
        "licence": recipe.models.licence,
        "language": list(dict.fromkeys(judge.language for judge in recipe.eval.judges)),
        "models": {role: _model(study, role) for role in ROLES},
        "training_data": {
            role: [asdict(row) for row in counted(files, unreviewed=_unreviewed(study))]
            for role, files in _triples(study).items()
            if files
        },
        "notes": list(_notes(study)),
    }


def makers(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Who or what wrote the training data, wherever the provenance names it."""
    for model in provenance["models"].values():
        yield from model["made_by"]
    for rows in provenance["training_data"].values():
        yield from (row["made_by"] for row in rows if row["made_by"])


def _model(study: Study, role: Role) -> dict[str, Any]:
    origin: Origin = getattr(study.recipe.models.origin, role)
    source = origin.source or _source(study, role)
    return {"source": source, "licence": origin.licence, "made_by": list(origin.made_by)}


def _source(study: Study, role: Role) -> str:
    """Where a model comes from if the recipe does not say: its Hub id, or this study."""
    named = study.model(role)
    if isinstance(named, str):
        return named
    return "not stated" if getattr(study.recipe.models, role) else "trained by this study"


def _triples(study: Study) -> dict[str, list[Path]]:
    """The files that each trained model was tuned on."""
    train = study.recipe.train
    if not isinstance(train, TrainSection):
        return {}
    sections = {"safe": train.safe, "useful": train.useful}
    return {role: [study.resolve(path) for path in section.triples] for role, section in sections.items()}


def _unreviewed(study: Study) -> bool:
    return isinstance(study.recipe.train, TrainSection) and study.recipe.train.unreviewed


def _notes(study: Study) -> Iterator[str]:
    """What the counts do not show: files that are gone, and files that are not those that were trained on."""
    for role, files in _triples(study).items():
        manifest = read_manifest(study.folder / f"model-{role}") or {}
        trained = manifest.get("inputs", {}).get("triples", [])
        for number, file in enumerate(files):
            if not file.exists():
                yield f"model-{role}: the file of triples {file.name} is gone; its triples are not counted."
            elif number >= len(trained) or data_hash(file, unreviewed=_unreviewed(study)) != trained[number]:
                yield f"model-{role}: the file of triples {file.name} changed since the training."
