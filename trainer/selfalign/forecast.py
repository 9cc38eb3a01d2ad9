"""What self-alignment takes, before the first request."""

from __future__ import annotations

from dataclasses import dataclass

from eval.config import OpenAIJudge
from eval.judges.rubric import READINGS
from trainer.selfalign.config import SelfAlignSection

TRIALS = 3
"""Pairs of constraints that are tried: those of now, and those with either side rewritten."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Counts at most; a round in which lists overlap or are short takes fewer. What a server fails comes on top."""

    instructions: int
    """A round."""
    requests: int
    """To the model, a round: lists, rewritten constraints, trials and answers."""
    tokens: int
    """That the model writes, a round."""
    judged: int
    """Answers put to a judge, a round, counting its repeats; 0 where likelihoods filter."""
    verdicts: int
    """Asked of a judge, a round: each is asked for again where it cannot be read."""
    greetings: int
    """To a served model, a run, before the first round."""
    fewest_rounds: int
    """Where each instruction becomes a pair."""
    most_rounds: int

    @property
    def most_requests(self) -> int:
        """To the model, in all rounds and before them."""
        return self.greetings + self.requests * self.most_rounds

    @property
    def most_verdicts(self) -> int:
        """Asked of the judge, in all rounds."""
        return self.verdicts * self.most_rounds


def forecast(section: SelfAlignSection) -> Forecast:
    """From the recipe's own numbers alone."""
    topics = section.domains * section.topics
    instructions = topics * section.instructions
    lists = section.domains + section.domains + topics + (2 if section.refine else 0)
    answers = 2 * instructions + (2 * TRIALS * section.probe if section.refine else 0)
    judge = section.filter.judge if section.filter.by == "judge" else None
    repeats = judge.repeats if isinstance(judge, OpenAIJudge) else int(judge is not None)
    readings = READINGS if isinstance(judge, OpenAIJudge) else 1
    return Forecast(
        instructions=instructions,
        requests=lists + answers,
        tokens=lists * section.list_tokens + answers * section.answer_tokens,
        judged=answers * repeats,
        verdicts=answers * repeats * readings,
        greetings=int(section.served is not None),
        fewest_rounds=min(section.rounds, -(-section.pairs // instructions)),
        most_rounds=section.rounds,
    )
