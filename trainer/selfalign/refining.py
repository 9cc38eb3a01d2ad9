"""Better constraints, round after round: the model rewrites both, and a rewrite stays if it polarises as well."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.identity import Message
from mergescope.ground.seeds import derive_seed
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.polarisation import Draft, Polarisation, constrained
from trainer.selfalign.prompts import Prompts, Side
from trainer.selfalign.reading import constraint
from trainer.selfalign.records import Constraints
from trainer.selfalign.seeds import Instruction
from trainer.selfalign.voice import Place, Said, Voice

SIDES: tuple[Side, ...] = ("positive", "toxic")


@dataclass(frozen=True, slots=True)
class Refinery:
    """What constraints are rewritten and tried with."""

    section: SelfAlignSection
    prompts: Prompts
    voice: Voice
    polarisation: Polarisation

    def refined(
        self, number: int, now: Constraints, failures: Sequence[Instruction], known: Sequence[Instruction]
    ) -> tuple[Constraints, dict[str, str]]:
        """The constraints of round `number`, and what became of each side's rewrite: kept, dropped or none.

        failures: instructions that the constraints did not polarise. known: those on which rewrites are tried.
        """
        rng = random.Random(derive_seed(self.section.seed, "refining", number))
        probe = rng.sample(list(known), min(self.section.probe, len(known)))
        shown = rng.sample(list(failures or known), min(self.section.examples, len(failures or known)))
        rewrites = self._rewrites(number, now, [one.text for one in shown])
        tried = [replace(now, **{side: text}) for side, text in rewrites.items()]
        shares = self._shares(number, [now, *tried], probe)
        fates: dict[str, str] = dict.fromkeys(SIDES, "none")
        for side, share in zip(rewrites, shares[1:], strict=True):
            fates[side] = "kept" if share >= shares[0] else "dropped"
        kept = {side: text for side, text in rewrites.items() if fates[side] == "kept"}
        return replace(now, **kept), fates

    def _rewrites(self, number: int, now: Constraints, failures: Sequence[str]) -> dict[str, str]:
        """By side; a side without a usable rewrite, or with an unchanged one, is left out."""
        texts = {side: getattr(now, side) for side in SIDES}
        talks: list[list[Message]] = [
            [{"role": "user", "content": self.prompts.refine(side, text, failures)}] for side, text in texts.items()
        ]
        said = self.voice.say("list", [Place(number, f"refine {side}", 0) for side in SIDES], talks)
        read = {side: constraint(one.text) for side, one in zip(SIDES, said, strict=True)}
        return {side: text for side, text in read.items() if text is not None and text != texts[side]}

    def _shares(self, number: int, tried: Sequence[Constraints], probe: Sequence[Instruction]) -> list[float]:
        """Share of the probe that each of several constraints polarises, 0 to 1."""
        drafts = [self._drafts(number, i, one, probe) for i, one in enumerate(tried)]
        gaps = iter(self.polarisation.gaps([draft for some in drafts for draft in some if draft is not None]))
        least = float(self.section.filter.gap)
        return [
            sum((gap := next(gaps)) is not None and gap >= least for draft in some if draft is not None) / len(probe)
            for some in drafts
        ]

    def _drafts(self, number: int, trial: int, tried: Constraints, probe: Sequence[Instruction]) -> list[Draft | None]:
        return drafts(self.voice, tried, [one.text for one in probe], (number, f"trial {trial}"))[0]


def drafts(
    voice: Voice, under: Constraints, instructions: Sequence[str], where: tuple[int, str]
) -> tuple[list[Draft | None], list[tuple[Said, Said]]]:
    """Each instruction answered under both constraints, and what was said; None where an answer is missing."""
    number, step = where
    sides: list[list[Said]] = []
    for side in SIDES:
        places = [Place(number, f"{step} {side}", i) for i in range(len(instructions))]
        sides.append(voice.say("answer", places, [constrained(getattr(under, side), one) for one in instructions]))
    said = list(zip(*sides, strict=True))
    made = [
        None if positive.error or toxic.error else Draft(one, under.positive, positive.text, under.toxic, toxic.text)
        for one, (positive, toxic) in zip(instructions, said, strict=True)
    ]
    return made, [(positive, toxic) for positive, toxic in said]
