"""What a plan of judging holds: plain values, as JSON shows them."""

from __future__ import annotations

from dataclasses import dataclass

from eval.judging_forecast import Amount, Lengths


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """One judge behind a server."""

    name: str
    """The model asked."""
    host: str
    made: int
    """Judgements that the store has of the answers that are there."""
    at_most: Amount
    """What is left if no two answers to come are equal."""
    expected: Amount | None
    """If as many are equal as so far; None where nothing tells."""
    pairs: Amount | None
    """Comparing pairs of answers, at most; None where the recipe compares none."""
    most: tuple[Amount, ...]
    """Judging and, if the recipe asks for it, comparing at the very most: answers to come and verdicts are as long as
    can be, and no verdict can be read, so that each is asked for again. What a server fails comes on top."""
    lengths: Lengths
    repeats: int
    """Judgements of each answer."""
    concurrency: int
    """Requests in flight."""
    batch: bool
    currency: str | None
    """None: the recipe gives no price."""


@dataclass(frozen=True, slots=True)
class ServedPlan:
    """One served model of `eval.checkpoints`."""

    name: str
    host: str
    requests: int
    """Turns that it has not answered, and the greeting of each run."""
    hours: float
    """At the recipe's concurrency."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host that prompts and answers are sent to."""

    host: str
    leaves: bool
    """Whether that is off this machine."""
    agreed: str | None
    """Day on which the user agreed, UTC; None: not yet, and a run asks."""
    requests: int | None
    """At the very most; None where the prompts are not known yet."""
    cost: dict[str, float]
    """At the very most, by currency, of the judges whose price the recipe gives."""
    unpriced: tuple[str, ...]
    """What asks there at no price that the recipe gives."""


@dataclass(frozen=True, slots=True)
class AnswersPlan:
    """The answers that are to be judged."""

    checkpoints: int
    """That answer and are judged; imported ones apart."""
    prompts: int
    """Distinct ones; texts that are measured apart."""
    wanted: int
    there: int
    """Answers in the store, or failed in a way that is not asked again."""
    distinct: float | None
    """Share of different texts among those that are there; None: none is there."""
    bytes: float
    """Mean bytes of UTF-8 of a text that is there, or as assumed."""


@dataclass(frozen=True, slots=True)
class JudgingPlan:
    """The whole forecast."""

    study: str
    answers: AnswersPlan | None
    """None where the prompts are not known."""
    judges: tuple[JudgePlan, ...]
    """Those behind a server; none where the prompts are not known."""
    here: tuple[str, ...]
    """Judges that ask no server, by name."""
    served: tuple[ServedPlan, ...]
    hosts: tuple[HostPlan, ...]
    notes: tuple[str, ...]
    """What a reader should know, one line each."""
    refusals: tuple[str, ...]
    """What stands against a run, with the cure, one line each."""
