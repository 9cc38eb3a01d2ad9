"""Which method a recipe's section asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergescope.ground.progress import Reporter
from trainer.config import DpoSection, DualSection, TuningSection
from trainer.logps import LogpFile, complete
from trainer.steps import batch_shape
from trainer.triples import Triple

NAMES = {"dpo": "DPO", "dual": "dual tuning"}
"""As the progress bar calls the methods."""


def prepare(
    section: TuningSection,
    base: Path,
    triples: Sequence[Triple],
    logps: LogpFile,
    reporter: Reporter,
    processes: int = 1,
) -> None:
    """Have the base say, once per study, how likely it holds what the method compares with; one process does this.

    processes: that will train; the base is asked for as many answers at a time as each of them computes. Raises
    RecipeError for a batch that they cannot share, DataError where a triple is longer than `max_length` tokens or lacks
    its toxic constraint, CheckpointError for a base that gives no numbers.
    """
    from trainer.dpo import dpo_references
    from trainer.dual import dual_references, encode_constrained
    from trainer.encoding import encode_all
    from trainer.tuning import in_bfloat16, load_model, load_tokenizer

    micro, _ = batch_shape(section, processes)
    tokenizer = load_tokenizer(base)
    if isinstance(section, DualSection):
        asked = dual_references(encode_constrained(section, tokenizer, triples))
    else:
        asked = dpo_references(encode_all(tokenizer, triples, section.max_length))
    complete(
        logps,
        asked,
        lambda: load_model(section, base, spread=True),
        2 * micro,
        reporter,
        autocast=in_bfloat16(section),
        exact_head=isinstance(section, DualSection),  # DPO's policy has TRL's head, whose rounding cancels
    )


def train(
    section: TuningSection,
    base: Path,
    triples: Sequence[Triple],
    out: Path,
    seed: int,
    reporter: Reporter,
    logps: LogpFile,
    work: Path | None = None,
) -> dict[str, Any]:
    """Tune `base` by the section's method into the folder `out`; returns what the manifest should hold.

    logps: what `prepare` left.
    """
    from trainer.dpo import train_dpo
    from trainer.dual import train_dual

    if isinstance(section, DualSection):
        return train_dual(section, base, triples, out, seed, reporter, logps, work)
    if isinstance(section, DpoSection):
        return train_dpo(section, base, triples, out, seed, reporter, logps, work)
    raise TypeError(f"no method of {type(section).__name__}")
