"""Leaving with a merge: the bundle that rebuilds it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.evidence import read_evidence
from eval.inbox.slips import waiting
from merge.bundle import EVIDENCE, BundleInputs, Story, write_bundle
from merge.container import LIMIT_BYTES, fits_container
from merge.gates import LABELS, LESS_SAFE, NOT_FOR_RELEASE, Comparison, compare_with_base, gates_of
from merge.merger import open_merger
from merge.points import MergePoint
from mergescope.environment import offline
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter
from mergescope.inputs import check_store
from mergescope.lock import locked
from mergescope.merges import adapters_of, hub_names, models_of, point_at
from mergescope.provenance import makers, provenance_of
from mergescope.scores import scores_of, stored_choice
from mergescope.study import Study
from mergescope.sweep import merge_job


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks of an export."""

    ratio: str
    """As typed."""
    out: Path
    """Folder to write; must not exist."""
    mask_seed: int | None = None
    """None: the recipe's first."""
    write_weights: bool = False
    rule: str | None = None
    """What the point was chosen by; None: as the store says, if it holds a choice. So with the next two."""
    by: str | None = None
    note: str | None = None
    acknowledged: Sequence[str] = ()
    """Labels of gates (`merge.gates.LABELS`)."""
    progress: Path | None = None
    """File that says how far the work is, once a second; None: none does."""


def export_point(study: Study, store: Path, wish: Wish) -> Iterator[str]:
    """Write the bundle of one merge; yields what was done, line by line.

    Raises the MergescopeError family, also for a point less safe than the base that is not acknowledged; nothing is
    left at `wish.out` then.
    """
    _check_wish(wish)
    if waiting(store, 1):  # a choice that was made a moment ago
        check_store(store)
    point = point_at(study.recipe, wish.ratio, wish.mask_seed)
    if study.is_local:
        offline()
    reporter = Reporter(sys.stderr, wish.progress)
    reporter.stage("export")
    with locked(study.folder):
        models = models_of(study, reporter)
        merger = open_merger(study.folder, point, models, threads=study.recipe.merge.threads, reporter=reporter)
    story = story_of(study, store, merge_job(study, point, models, merger).checkpoint_id, point, wish)
    _refuse_less_safe(story)
    inputs = BundleInputs(models, merger, names=hub_names(study, models), adapters=adapters_of(study, models))
    manifest = write_bundle(wish.out, point, inputs, story, write_weights=wish.write_weights, reporter=reporter)
    called = f"{study.recipe.study} at r {point.ratio.normalize():f}"
    yield f"{wish.out}: bundle of {called}, {len(manifest['tensors'])} tensors; check it with: {_check(wish, manifest)}"
    yield from _not_closed(wish, manifest)
    yield from _remarks(manifest, merger.output_bytes if wish.write_weights else 0)


def story_of(study: Study, store: Path, checkpoint: str, point: MergePoint, wish: Wish) -> Story:
    """What store, recipe and user say of a point."""
    scores = scores_of(study, store, checkpoint, point)
    provenance = provenance_of(study)
    comparisons = list(_comparisons(scores))
    stored = stored_choice(study, store, checkpoint)
    return Story(
        scores=scores,
        choice=_choice(stored, wish),
        evidence=read_evidence(store, stored["evidence_sha256"]) if stored else None,
        provenance=provenance,
        gates=gates_of(comparisons, makers(provenance), wish.acknowledged),
        not_compared=list(_not_compared(comparisons)),
    )


def _check_wish(wish: Wish) -> None:
    if wish.out.exists():
        raise MergescopeError("exists already", where=wish.out, cure="name a new folder")
    if unknown := [label for label in wish.acknowledged if label not in LABELS]:
        raise MergescopeError(
            "no such gate", where="--acknowledge", value=unknown[0], cure=f"use {' or '.join(LABELS)}"
        )


def _choice(stored: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    """Who chose the point, when and why: the store's word, each part of it replaced by the user's where given."""
    given = {key: value for key, value in (("rule", wish.rule), ("by", wish.by), ("note", wish.note)) if value}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    source = "the command line" if given else "the store" if stored else "nobody: exported without a recorded choice"
    nothing = {"rule": None, "by": None, "note": None, "when": now}
    return {**nothing, **stored, **given, **({"when": now} if given else {}), "source": source}


def _comparisons(scores: Mapping[str, Any]) -> Iterator[Comparison]:
    """Every judge's word on the point and the base, on all prompts; judges without numbers of the point have none."""
    for judge in scores["judges"]:
        found = {c["role"]: c["splits"].get("all", {}) for c in judge["checkpoints"]}
        if "point" in found:
            yield compare_with_base(judge["name"], judge["kind"], found["point"], found.get("base", {}))


def _not_compared(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for c in comparisons:
        if c.bound is None or c.base is None:
            who = "the merge" if c.bound is None else "the base"
            yield f"{c.metric.replace('_', ' ')} by {c.judge} ({c.kind}): no number of {who}"


def _refuse_less_safe(story: Story) -> None:
    for gate in story.gates:
        if gate.label == LESS_SAFE and not gate.acknowledged:
            cure = f"pick another ratio, or add --acknowledge {LESS_SAFE}"
            raise MergescopeError(gate.text, where="--ratio", cure=cure)


def _check(wish: Wish, manifest: Mapping[str, Any]) -> str:
    """The command that verifies the bundle; models without a Hub id must be shown to it."""
    command = f"mergescope verify {shlex.quote(str(wish.out))}"
    lacking = [role for role, entry in manifest["inputs"].items() if entry["hub"] is None]
    return f"{command} --inputs FOLDER (which holds {', '.join(lacking)})" if lacking else command


def _not_closed(wish: Wish, manifest: Mapping[str, Any]) -> Iterator[str]:
    found = {gate["label"] for gate in manifest["gates"]}
    for label in dict.fromkeys(wish.acknowledged):
        if label not in found:
            yield f"--acknowledge {label}: this gate is not closed, so nothing was acknowledged"


def _remarks(manifest: Mapping[str, Any], written_bytes: int) -> Iterator[str]:
    if not manifest["evaluated"]:
        yield "this point was not evaluated: the bundle holds no numbers of it (add its ratio to the recipe and run it)"
    yield from (f"not compared with the base: {note}" for note in manifest["not_compared"])
    if manifest["choice"].get("evidence_sha256") and EVIDENCE not in manifest["files"]:
        yield "what the choice rests on is not on this machine: the bundle holds its hash alone"
    for gate in manifest["gates"]:
        state = "acknowledged" if gate["acknowledged"] else f"--acknowledge {gate['label']} opens this gate"
        yield f"{gate['text']} ({state})"
    if manifest["release"] == NOT_FOR_RELEASE:
        yield f"the bundle is marked: {NOT_FOR_RELEASE}"
    if not fits_container(written_bytes):
        size, most = f"{written_bytes / 1e9:.0f} GB", f"{LIMIT_BYTES / 1e9:.0f} GB"
        yield f"a checkpoint of {size} makes an image of more than {most} by the Dockerfile: contests refuse it"
