"""Masks and scales of a bundle drawn again, to tell why a merge comes out otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from merge.bundle_reader import Bundle, MaskDigest
from merge.masks import Conditions, make_masks, open_masks
from merge.sources import Models
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter


@dataclass(frozen=True, slots=True)
class Redrawn:
    """How masks and scales drawn now compare with the manifest's."""

    same_masks: bool
    """Whether every mask is the same."""
    scale_steps: Mapping[str, int]
    """Tensors of which a scale k differs, with the most steps of float32; empty where the masks are others."""

    @property
    def cause(self) -> str:
        """What it says of a merge that differs."""
        if not self.same_masks:
            return "other masks: the seed, a density, or mergekit's or torch's version differs"
        if self.scale_steps:
            steps = max(self.scale_steps.values())
            return f"same masks, scale differs by up to {steps} ulp: other CPU or number of threads"
        return "same masks and scales: the hashes in the manifest were changed"


def redraw(bundle: Bundle, models: Models, level: str, reporter: Reporter) -> Redrawn | None:
    """Draw the masks again at kernel level `level` and compare; None where the manifest has none."""
    manifest, point = bundle.manifest, bundle.point
    if manifest.masks is None or point.way == "mergekit":
        return None
    from merge.blend import masks_digest

    inputs = {role: manifest.inputs[role].weights_sha256 for role in bundle.roles}
    conditions = Conditions(inputs, manifest.threads, level)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "masks"
        make_masks(
            folder,
            point,
            models,
            threads=manifest.threads,
            conditions=lambda: conditions,
            level=level,
            reporter=reporter,
        )
        now = MaskDigest.model_validate(masks_digest(open_masks(folder)))
    if now.planes_sha256 != manifest.masks.planes_sha256:
        return Redrawn(same_masks=False, scale_steps={})
    return Redrawn(same_masks=True, scale_steps=dict(_other_scales(now, manifest.masks)))


def _other_scales(now: MaskDigest, then: MaskDigest) -> Iterator[tuple[str, int]]:
    """Tensors whose scales differ, and by how many steps of float32; raises MergescopeError for other tensors."""
    if {name: set(roles) for name, roles in now.scales.items()} != {n: set(roles) for n, roles in then.scales.items()}:
        raise MergescopeError("the manifest's scales are not those of these models")
    for name, roles in now.scales.items():
        steps = max((abs(_bits(scale) - _bits(then.scales[name][role])) for role, scale in roles.items()), default=0)
        if steps:
            yield name, steps


def _bits(value: float) -> int:
    import numpy as np

    return int(np.float32(value).view(np.int32))
