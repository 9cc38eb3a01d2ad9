"""Seeds derived from names: every random draw has one, none depends on order."""

from __future__ import annotations

from mergescope.ground.ids import full_hash

SEED_LIMIT = 2**31
"""Seeds stay below 2**31, which every library that takes one accepts."""


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**31) for the draw that `names` describe, e.g. derive_seed(7, "answer", prompt_id, 0)."""
    return int(full_hash(["seed1", seed, *names])[:16], 16) % SEED_LIMIT
