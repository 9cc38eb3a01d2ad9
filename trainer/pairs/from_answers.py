"""A made pair from answers of checkpoints: the one to avoid goes to the quarantine, as any rejected side does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mergescope.ground.ids import content_id, text_hash
from trainer.pairs.pair import Kind, Pair
from trainer.pairs.pair_set import PairSet, set_folder
from trainer.quarantine import Quarantine, ToxicRef
from trainer.quarantine_lock import in_use

SOURCE = "answers of this study"
"""Of such pairs."""


def pair_of_answers(
    study_folder: Path,
    set_name: str,
    *,
    kind: Kind,
    prompt: str,
    chosen: str,
    rejected: str,
    meta: Mapping[str, str],
    made_by: str,
) -> Pair:
    """Add a pair to a set of the study, pending: a person looks at it before it is trained on.

    chosen: the better answer, taken to inform until a person says otherwise. rejected: the answer to avoid. meta:
    `risk-area`, `harm-type` and `specific-harm`. made_by: the checkpoints that gave the answers. Equal texts make one
    pair. Raises DataError for a name that no set can have, before anything is written, and MergescopeError where the
    disk is full or read-only.
    """
    folder = set_folder(study_folder, set_name)
    quarantine = Quarantine(study_folder)
    with in_use(quarantine):
        pair = _pair(quarantine.put(rejected, meta["specific-harm"]), kind, prompt, chosen, meta, made_by)
        PairSet(folder).add(pair)
    return pair


def _pair(rejected: ToxicRef, kind: Kind, prompt: str, chosen: str, meta: Mapping[str, str], made_by: str) -> Pair:
    return Pair(
        pair_id=content_id("ap1", [prompt, text_hash(chosen), rejected.sha256]),
        kind=kind,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        meta=dict(meta),
        source=SOURCE,
        licence=None,
        made_by=made_by,
        informs=True,
        toxic_constraint=None,
        made={},
    )
