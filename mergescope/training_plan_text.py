"""A plan of training as plain text that reads well on 80 to 100 columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from eval.roofline import GPUS, OVERHEAD_BYTES
from mergescope.ground.errors import printable
from mergescope.ground.units import size_text
from mergescope.plan_layout import closing, count, fact, section, wrapped
from mergescope.retention import open_study
from mergescope.training_plan import training_plan
from mergescope.training_plan_records import RolePlan, TrainingPlan

SHARDED = {
    "none": "each holds the whole model",
    "optimizer": "each holds a share of the optimizer",
    "gradients": "each holds a share of optimizer, gradients and float32 weights",
    "all": "each holds a share of the model, its gradients and its optimizer",
}


def show_training_plan(file: Path, *, as_json: bool) -> int:
    """Print what training a recipe takes, and on stderr what stands against it; returns 2 if anything does, else 0."""
    plan = training_plan(open_study(file))
    if as_json:
        print(json.dumps(asdict(plan), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        print("\n".join(map(printable, training_plan_lines(plan))))
    for refusal in plan.refusals:
        print(printable(refusal), file=sys.stderr)
    return 2 if plan.refusals else 0


def training_plan_lines(plan: TrainingPlan) -> Iterator[str]:
    """The plan, line by line; what stands against a run is not among them (`TrainingPlan.refusals`)."""
    yield f"Plan of training the study {plan.study}: nothing is made, fetched or written. 1 GB = 1,000,000,000 bytes."
    yield from section("Base", _base(plan))
    for role in plan.roles:
        yield from section(f"model-{role.role}: {role.method}", _role(role))
    yield from section("This machine", [_disk(plan)])
    yield from section("What the estimates stand on", _basis(plan))
    yield from closing(plan.notes, plan.refusals)


def _base(plan: TrainingPlan) -> Iterator[str]:
    state = "" if plan.base.state == "here" else f" ({plan.base.state})"
    yield fact("model", f"{plan.base.name}{state}")
    known = "?" if plan.base.parameters is None else f"{plan.base.parameters:,}"
    yield fact("parameters", f"{known} ({plan.base.basis})")
    if plan.processes == 1:
        yield fact("processes", "1, on one GPU or the CPU")
        return
    where = "" if plan.machines == 1 else f" on {plan.machines:,} machines"
    yield fact("processes", f"{plan.processes:,}{where}, {plan.engine}: {SHARDED[plan.sharding]}")


def _role(role: RolePlan) -> Iterator[str]:
    if role.done:
        yield fact("state", "made; made again only where its inputs have changed")
    yield from _data(role)
    batch = (
        f"{role.batch_size:,} triples = {role.micro_batch_size:,} a GPU and pass x {count(role.accumulated, 'pass')}"
    )
    shared = role.batch_size // (role.micro_batch_size * role.accumulated)
    batch = batch.replace("passs", "passes") + ("" if shared == 1 else f" x {shared:,} GPUs")
    yield fact("steps", f"{'?' if role.steps is None else f'{role.steps:,}'}, of {batch}")
    yield from _memory(role)
    if role.checkpoint_bytes is not None:
        yield fact("checkpoint", f"{size_text(role.checkpoint_bytes)}; two while the second is written")
    yield fact("command", role.command)


def _data(role: RolePlan) -> Iterator[str]:
    data = role.data
    if data is None:
        yield fact(
            "triples", "not there yet, so steps and tokens are not known" if role.steps is None else "not there yet"
        )
        return
    apart = f", {data.held_out:,} of them held out" if data.held_out else ""
    yield fact("triples", f"{data.triples:,}{apart}, passed over {data.repeated:g} times")
    in_all = round(data.tokens * data.repeated)
    yield fact("tokens", f"{data.tokens:,} a pass, {in_all:,} in all; the longest side has {data.longest:,}")
    yield fact("", f"({data.basis})")


def _memory(role: RolePlan) -> Iterator[str]:
    memory = role.memory
    if memory is None:
        yield fact("GPU memory", "?")
        return
    yield fact("GPU memory", f"{size_text(memory.total)} on each GPU:")
    yield fact("", f"{size_text(memory.weights)} weights, {size_text(memory.gradients)} gradients,")
    yield fact("", f"{size_text(memory.optimizer)} optimizer, all three by formula;")
    sides = f"{role.sides * role.micro_batch_size:,} sides of {role.assumed_tokens:,} tokens"
    yield fact("", f"{size_text(memory.activations)} activations of {sides}, an estimate")
    yield fact("fits on", ", ".join(role.fits) or f"none of {', '.join(GPUS)}")


def _disk(plan: TrainingPlan) -> str:
    needed = "?" if plan.disk_needed is None else size_text(plan.disk_needed)
    return fact("disk", f"{size_text(plan.disk_free)} free; training takes up to {needed}, checkpoints included")


def _basis(plan: TrainingPlan) -> Iterator[str]:
    yield from wrapped(
        "weights, gradients and AdamW's moments stand in float32: 4 + 4 + 8 bytes a trained parameter, 2 more for the "
        "copies that bfloat16 computes with; several processes add or share parts as trainer/memory.py says"
    )
    yield from wrapped(
        "activations are what transformers' Llama saves for its backward pass, counted tensor by tensor on small ones"
    )
    if any(role.memory is not None for role in plan.roles):
        yield from wrapped(
            f"a GPU fits where {size_text(OVERHEAD_BYTES)} are left for CUDA and fragmentation (assumed); nothing here "
            "was measured on a GPU"
        )
