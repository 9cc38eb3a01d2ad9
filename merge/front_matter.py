"""The model card's metadata, as Hugging Face reads it: licence, ancestors, tags, and the metrics as a model-index."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from merge.gates import NOT_FOR_RELEASE
from merge.inert import one_line
from merge.points import MergePoint

TAGS = ("mergekit", "merge", "mergescope")
SPLITS = ("select", "confirm")
"""Splits whose numbers stand in the card: rules pick on the first, the second confirms."""
HEADLINE = ("safety", "over_refusal_rate", "usefulness", "balance")
"""The metrics that a choice is made by: they come first, and the card's tables show no others."""
UNKNOWN = "unknown"
"""What a recipe says of a licence that nobody stated."""


def title(point: MergePoint, scores: Mapping[str, Any]) -> str:
    """What people call the merge: its study, ratio and method."""
    return f"{scores['study']}: r = {point.ratio.normalize():f}, {point.method}"


def front_matter(point: MergePoint, manifest: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """The YAML between the card's two lines of hyphens."""
    provenance = manifest["provenance"]
    closed = [NOT_FOR_RELEASE.replace(" ", "-")] if manifest["release"] == NOT_FOR_RELEASE else []
    ancestors = hub_ids(manifest)
    metadata: dict[str, Any] = {
        **({"base_model": ancestors, "base_model_relation": "merge"} if ancestors else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": [*TAGS, *closed],
        "language": provenance["language"],
        **_licence(provenance["licence"]),
    }
    if results := list(_results(scores)):
        metadata["model-index"] = [{"name": title(point, scores), "results": results}]
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=120)


def hub_ids(manifest: Mapping[str, Any]) -> list[str]:
    """Hub ids of the models, without their revision; a model that has none cannot be linked and is left out."""
    ids = (entry["hub"] for entry in manifest["inputs"].values())
    return list(dict.fromkeys(name.partition("@")[0] for name in ids if name))


def _licence(name: str) -> dict[str, str]:
    """The Hub takes its own lower-case names; whatever is none of that form goes by `other` and a name."""
    plain = one_line(name.strip().lower(), 64)
    if plain and plain != UNKNOWN and re.fullmatch(r"[a-z0-9][a-z0-9.-]*", plain):
        return {"license": plain}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.-]+", "-", plain).strip("-") or UNKNOWN}


def _results(scores: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One entry for each judge and split that has numbers of the point."""
    sets = scores["prompt_sets"]
    revision = "-".join(one["version"] for one in sets)
    for judge in scores["judges"]:
        point = next((c for c in judge["checkpoints"] if c["role"] == "point"), None)
        for split in SPLITS:
            metrics = list(_metrics(judge, point["splits"].get(split, {}))) if point else []
            if metrics:
                dataset = {
                    "type": "mergescope",
                    "name": ", ".join(one["name"] for one in sets),
                    "config": one_line(judge["label"], 100),
                    "split": split,
                    "revision": revision,
                }
                yield {
                    "task": {"type": "text-generation", "name": "answers to harmful, borderline and benign prompts"},
                    "dataset": dataset,
                    "metrics": metrics,
                }


def _metrics(judge: Mapping[str, Any], estimates: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name in sorted(estimates, key=lambda name: HEADLINE.index(name) if name in HEADLINE else len(HEADLINE)):
        if (found := estimates[name])["value"] is not None:
            interval = "" if found["low"] is None else f"95 % {found['low']:.3f} to {found['high']:.3f}, "
            words = f"{name.replace('_', ' ')} by {judge['label']} ({interval}n {found['n']})"
            yield {"type": name, "value": float(f"{found['value']:.6g}"), "name": one_line(words, 200)}
