"""The half of a plan that GPUs do: how long a study's answers take on the GPUs that the user names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eval.backlog import wanted_answers
from eval.config import EvalSection
from eval.conversations import rounds
from eval.prompt_length import prompt_length
from eval.prompts import PromptSet
from eval.roofline import (
    ITEM_BYTES,
    Gpu,
    Questions,
    Served,
    Sweep,
    cache_bytes_per_token,
    engine_share,
    fits_on,
    gpus_per_model,
    least_memory,
    needed_bytes,
    sweep_on,
    usable_bytes,
)
from merge.points import MergePoint
from mergescope.ground.errors import MergescopeError
from mergescope.ground.units import size_text

TYPICAL_SHARE = 0.5
"""Mean answer over max_tokens: an assumption; the other bound is every answer at max_tokens."""
Verdict = Literal["fits", "fits if answers are short", "too long"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the study asks every checkpoint."""

    prompts: int
    """Distinct prompts of all sets that are answered; texts whose likelihood is measured take next to nothing."""
    turns: int
    """Answers to all of them: one for each turn of a conversation."""
    samples: int
    """Answers to each of them."""
    more: int
    """Further answers to each of them, of all shortlisted points together."""
    checkpoints: int
    """Merge points, references, and the models of `eval.checkpoints` that the same GPUs answer for."""
    merges: int
    """Merge points among them."""
    prompt_tokens: float
    """Mean length of a prompt, chat template included."""
    prompt_basis: str
    """How that was found."""
    max_tokens: int
    """Length at which an answer is cut."""
    answer_tokens: float
    """Mean length of an answer that is taken as typical."""

    def questions(self, answer_tokens: float) -> Questions:
        """As the roofline takes it, for answers of a given mean length."""
        answers = round(self.turns * (self.samples + self.more / self.checkpoints))
        return Questions(self.checkpoints, self.merges, answers, self.prompt_tokens, answer_tokens)


@dataclass(frozen=True, slots=True)
class GpuRow:
    """The sweep on some GPUs of one kind."""

    gpus: int
    typical: Sweep
    """With answers of typical length."""
    at_most: Sweep
    """With every answer at max_tokens."""
    verdict: Verdict
    """Against the limit of hours."""


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """One kind of GPU that was asked about."""

    gpu: Gpu
    count: int
    """How many of them there are."""
    per_model: int | None
    """GPUs that one model needs with its cache; None where 16 do not hold it."""
    split: int
    """GPUs that the recipe splits a model over: eval.engine.tensor_parallel."""
    rows: tuple[GpuRow, ...]
    """For 1, 2, 4, ... of them and for all."""


def asked_of(
    section: EvalSection, sets: Sequence[PromptSet], model: Path | None, points: Sequence[MergePoint]
) -> Asked:
    """model: a folder with the tokenizer of the models, where there is one."""
    length = prompt_length(sets, model)
    sampling = section.sampling
    wanted = wanted_answers(sets, 1, measured=False)
    return Asked(
        prompts=len(wanted),
        turns=sum(len(rounds(one.messages)) for one in wanted),
        samples=sampling.samples,
        more=sum(section.samples_at(point.ratio) - sampling.samples for point in points),
        checkpoints=len(points) + 3 + beside(section),
        merges=len(points),
        prompt_tokens=length.tokens,
        prompt_basis=length.basis,
        max_tokens=sampling.max_tokens,
        answer_tokens=max(1.0, sampling.max_tokens * TYPICAL_SHARE),
    )


def beside(section: EvalSection) -> int:
    """Checkpoints of `eval.checkpoints` that have their weights here; served models answer elsewhere."""
    return sum(checkpoint.kind == "model" for checkpoint in section.checkpoints)


def served_of(section: EvalSection, config: Mapping[str, Any], parameters: int, asked: Asked) -> Served | None:
    """The model as the recipe's engine holds it; None where its config does not give the cache's size."""
    engine = section.engine
    cache = cache_bytes_per_token(config, engine.dtype)
    if cache is None:
        return None
    longest = round(asked.prompt_tokens) + asked.max_tokens
    if engine.kind == "vllm":  # which wants room for one sequence of the longest kind, asked for or not
        longest = engine.max_model_len or config.get("max_position_embeddings") or longest
    return Served(parameters, parameters * ITEM_BYTES[engine.dtype], cache, longest)


def gpu_plan(
    section: EvalSection, served: Served, asked: Asked, gpu: Gpu, count: int, blend_s: float, hours: float
) -> GpuPlan:
    """The sweep on up to `count` GPUs of a kind. blend_s: seconds of one merge on the host; hours: the limit."""
    share = engine_share(section.engine.kind, section.engine.batch_size)
    split = section.engine.tensor_parallel
    rows = []
    for gpus in sorted({count, *(2**i for i in range(7) if 2**i < count)}):
        typical = sweep_on(served, asked.questions(asked.answer_tokens), gpu, gpus, share, blend_s, split)
        at_most = sweep_on(served, asked.questions(asked.max_tokens), gpu, gpus, share, blend_s, split)
        if typical is not None and at_most is not None:
            rows.append(GpuRow(gpus, typical, at_most, _verdict(typical.hours, at_most.hours, hours)))
    return GpuPlan(gpu, count, gpus_per_model(served, gpu), split, tuple(rows))


def _verdict(typical: float, at_most: float, limit: float) -> Verdict:
    if typical > limit:
        return "too long"
    return "fits" if at_most <= limit else "fits if answers are short"


def gpu_refusals(plan: GpuPlan, served: Served, hours: float) -> Iterator[MergescopeError]:
    """What will not work on the GPUs of a plan: memory, or the limit of hours."""
    name = f"{plan.gpu.name} x{plan.count}"
    if not fits_on(served, plan.gpu, plan.split):
        number = "more than 16" if plan.per_model is None else str(plan.per_model)
        split = "" if plan.per_model is None else f"split it (kind: vllm, tensor_parallel: {plan.per_model}), "
        yield MergescopeError(
            f"the model takes {size_text(needed_bytes(served))} with one sequence's cache, one GPU has "
            f"{size_text(usable_bytes(plan.gpu))} for it: it needs {number}, and an engine runs on {plan.split}",
            where=name,
            cure=f"{split}take GPUs of {least_memory(served) / 1e9:.0f} GB or more, or a smaller "
            "eval.engine.max_model_len",
        )
    elif plan.split > plan.count:
        yield MergescopeError(
            "an engine takes more GPUs than that",
            where=name,
            value=plan.split,
            cure="name as many as eval.engine.tensor_parallel says, or more",
        )
    elif plan.rows[-1].verdict == "too long":
        yield MergescopeError(
            f"the answers take about {plan.rows[-1].typical.hours:,.0f} h, and the limit is {hours:g} h",
            where=name,
            cure="name fewer ratios, prompts, samples or max_tokens, or more GPUs",
        )
