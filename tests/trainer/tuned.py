"""Trains as a study's stage does, without the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mergescope.ground.progress import Reporter
from trainer.config import TuningSection
from trainer.logps import LogpFile
from trainer.method import prepare, train
from trainer.quiet import quiet_libraries
from trainer.triples import load_triples


def tuned(
    section: TuningSection, base: Path, triples: Path, out: Path, work: Path | None = None, seed: int = 1
) -> dict[str, Any]:
    """What the manifest would hold; the model is in `out`."""
    rows, known = load_triples(triples), LogpFile(out.parent / f"{out.name}-logps.jsonl")
    with quiet_libraries():
        prepare(section, base, rows, known, Reporter())
        return train(section, base, rows, out, seed, Reporter(), known, work)
