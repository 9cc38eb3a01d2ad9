"""Which triples are kept from training, so that their loss says when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergescope.ground.errors import DataError
from mergescope.ground.seeds import SEED_LIMIT, derive_seed
from trainer.config import TuningSection
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class Split:
    """The triples of a training, told apart."""

    trained: list[Triple]
    held_out: list[Triple]
    """None of them where the recipe asks for no early stop."""


def split_of(section: TuningSection, triples: Sequence[Triple], seed: int) -> Split:
    """The triples as the recipe tells them apart: all of them are trained on where it asks for no early stop."""
    return Split(list(triples), []) if section.early_stop is None else split(triples, section.early_stop.held_out, seed)


def split(triples: Sequence[Triple], share: float, seed: int) -> Split:
    """Keep about `share` (0 to 1) of the triples apart, by a seeded hash of their prompts; order stays.

    So a triple is on the same side in every training of the study, whatever stands beside it, and so are all triples of
    one prompt. Raises DataError where a side would be empty.
    """
    apart = [derive_seed(seed, "held-out", triple.prompt) < share * SEED_LIMIT for triple in triples]
    trained = [triple for triple, out in zip(triples, apart, strict=True) if not out]
    held_out = [triple for triple, out in zip(triples, apart, strict=True) if out]
    if not (trained and held_out):
        cure = "change early_stop.held_out, or bring more triples"
        raise DataError(f"early stop keeps {len(held_out)} of {len(triples)} triples apart", value=share, cure=cure)
    return Split(trained, held_out)
