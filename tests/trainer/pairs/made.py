"""Made pairs for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.pairs.pair import Pair
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine

META = {"risk-area": "Malicious uses", "harm-type": "Fraud", "specific-harm": "Scams"}


def make_pair(study: Path, number: int = 1, rejected: str = "(placeholder)", **changes: Any) -> Pair:
    """A pair whose rejected side is in the study's quarantine."""
    ref = Quarantine(study).put(rejected, META["specific-harm"])
    values: dict[str, Any] = {
        "pair_id": f"p{number}",
        "kind": "harmful",
        "prompt": f"質問{number}",
        "chosen": f"お断りします。{number}",
        "rejected": ref,
        "meta": META,
        "source": "test",
        "licence": "CC0-1.0",
        "made_by": "model-a, model-b",
        "informs": False,
        "toxic_constraint": None,
        "made": {"round": 1, "danger": 4.5},
    }
    return Pair(**{**values, **changes})


def make_set(study: Path, count: int = 2, name: str = "harmful", **changes: Any) -> PairSet:
    """A set of that many pairs in the study's folder, none of them reviewed."""
    pairs = PairSet(study / "data" / name)
    for number in range(1, count + 1):
        pairs.add(make_pair(study, number, f"(placeholder {number})", **changes))
    return pairs
