"""A plan as plain text that reads well on 80 to 100 columns."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from eval.roofline import parse_gpus
from merge.forecast import BENCHMARK, BLEND_PER_COPY, COPIED_PER_ENTRY, STOCK_PER_COPY, Need
from merge.points import Way
from mergescope.ground.errors import MergescopeError
from mergescope.ground.units import size_text, time_text
from mergescope.plan import plan_of
from mergescope.plan_answers import TYPICAL_SHARE, GpuPlan
from mergescope.plan_layout import closing, count, fact, section, wrapped
from mergescope.plan_notes import title
from mergescope.plan_records import GridPlan, MergePlan, ModelPlan, Plan, RoomPlan
from mergescope.retention import open_study

GPUS_OF_THE_CONTEST = "A100-40GB x4"
HOURS_OF_THE_CONTEST = 24.0


def show_plan(file: Path, gpus: Sequence[str], hours: float | None, *, as_json: bool) -> int:
    """Print the plan of a recipe, and on stderr what stands against a run; returns 2 if anything does, else 0.

    gpus: as `--gpu` takes them; empty: the contest's four A100 with 40 GB. hours: None for its 24.
    """
    if hours is not None and not 0 < hours < math.inf:
        raise MergescopeError("not allowed", where="--hours", value=hours, cure="it must be above 0")
    named = [parse_gpus(text) for text in gpus or [GPUS_OF_THE_CONTEST]]
    plan = plan_of(open_study(file), named, HOURS_OF_THE_CONTEST if hours is None else hours, gpus_named=bool(gpus))
    if as_json:
        print(json.dumps(asdict(plan), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        print("\n".join(plan_lines(plan)))
    for refusal in plan.refusals:
        print(refusal, file=sys.stderr)
    return 2 if plan.refusals else 0


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan, line by line; what stands against a run is not among them (`Plan.refusals`)."""
    yield f"Plan of the study {plan.study}: nothing is made, fetched or written. 1 GB = 1,000,000,000 bytes."
    yield from section("Models", _models(plan))
    yield from section("Merges", _merges(plan.grid, plan.merge))
    if plan.merge is not None:
        yield from section("Work", _work(plan.merge))
    if plan.room is not None:
        yield from section("This machine", _room(plan.room))
    yield from section("Answers", _answers(plan))
    if plan.gpus:
        yield from section(f"GPU hours, limit {plan.hours_limit:g} h", _gpus(plan))
    basis = list(_basis(plan))
    if basis:
        yield from section("What the estimates stand on", basis)
    yield from closing(plan.notes, plan.refusals)


def _models(plan: Plan) -> Iterator[str]:
    if plan.merge is not None:
        yield fact("architecture", f"{plan.merge.architecture}, {plan.models[0].tensors:,} tensors")
        yield fact("parameters", f"{plan.merge.parameters:,}")
    for model in plan.models:
        yield fact(title(model.role), _model(model))


def _model(model: ModelPlan) -> str:
    dtypes = list(model.parameters)
    stored = dtypes[0] if len(dtypes) == 1 else ", ".join(f"{d} {model.parameters[d]:,}" for d in dtypes)
    size = "?        " if model.bytes is None else f"{size_text(model.bytes):<9}"
    state = "" if model.state == "here" else f" ({model.state})"
    return "  ".join(part for part in (size, stored, f"{model.name}{state}") if part)


def _merges(grid: GridPlan, merge: MergePlan | None) -> Iterator[str]:
    seeds = "mask seed" if grid.mask_seeds == 1 else "mask seeds"
    everywhere = (grid.points - grid.further) // grid.ratios
    crossed = f"{grid.ratios:,} ratios x {count(everywhere, 'mask seed')}"
    further = f" + {grid.further:,} with further seeds" if grid.further else ""
    yield fact("merge points", f"{grid.points:,} = {crossed}{further}")
    if grid.way == "mergekit":
        yield fact("made by", "mergekit itself, one run per point; nothing is drawn or written")
        return
    yield fact("made by", "our blend in memory, with mergekit's bits; a sweep writes no checkpoint (0 bytes)")
    drawn = f"{grid.seeds_drawn:,} of {grid.mask_seeds:,} {seeds} drawn"
    yield fact("masks", drawn if merge is None else f"{drawn}; {size_text(merge.mask_bytes)} each")
    if merge is not None:
        read, masks, out = (
            count / merge.parameters for count in (merge.source_bytes, merge.mask_bytes, merge.output_bytes)
        )
        yield fact(
            "bytes moved",
            f"{read + masks + out:.3g} a parameter and ratio: {read:.3g} of weights, {masks:.2g} of masks, "
            f"{out:.3g} out ({merge.out_dtype})",
        )


def _work(merge: MergePlan) -> Iterator[str]:
    yield f"{'each time':26}{'times':>6}{'read':>11}{'written':>11}{'memory':>11}{'mapped':>11}{'time':>10}"
    for need in merge.work:
        yield _need(need)
    read = size_text(sum(need.times * need.read for need in merge.work))
    written = size_text(sum(need.times * need.written for need in merge.work))
    yield f"{'all of it, exports apart':32}{read:>11}{written:>11}{time_text(merge.seconds):>32}"


def _need(need: Need) -> str:
    times = f"{need.times:,}" if need.times else "-" if need.name.startswith("export") else "done"
    sizes = "".join(f"{size_text(size):>11}" for size in (need.read, need.written, need.memory, need.mapped))
    return f"{need.name:26}{times:>6}{sizes}{time_text(need.seconds):>10}"


def _room(room: RoomPlan) -> Iterator[str]:
    parts = [(room.disk_masks, "masks"), (room.disk_models, "models to be made")]
    told = " and ".join(f"{size_text(size)} of {what}" for size, what in parts if size) or "nothing more"
    yield fact("disk", f"{size_text(room.disk_free)} free; the study will write {told}")
    memory = room.memory
    yield fact(
        "memory",
        f"{size_text(memory.available)} of {size_text(memory.total)} available; at most "
        f"{size_text(room.memory_needed)} needed, to {room.memory_for}",
    )
    left = max(0, memory.available - room.memory_needed)
    yield fact("page cache", f"{size_text(room.mapped)} of mapped files, {size_text(left)} left beside that")


def _answers(plan: Plan) -> Iterator[str]:
    asked = plan.asked
    checkpoints = plan.grid.points + 3 + plan.beside
    others = f" + {count(plan.beside, 'model')} of eval.checkpoints" if plan.beside else ""
    yield fact("checkpoints", f"{checkpoints:,} = {plan.grid.points:,} merge points + 3 references{others}")
    yield fact("engine", plan.engine)
    if asked is None:
        yield fact("prompts", "unknown")
        return
    each = asked.prompts * asked.samples
    more = f"{asked.prompts * asked.more:,} more of shortlisted points, " if asked.more else ""
    yield fact(
        "prompts",
        f"{asked.prompts:,} x {count(asked.samples, 'sample')}: {each:,} answers a checkpoint, "
        f"{more}{each * checkpoints + asked.prompts * asked.more:,} in all",
    )
    yield fact("tokens", f"{asked.prompt_tokens:,.0f} a prompt ({asked.prompt_basis})")
    yield fact("", f"{asked.answer_tokens:,.0f} an answer as a rule (assumed), {asked.max_tokens:,} at most")
    if plan.served is not None:
        served = plan.served
        yield fact(
            "GPU memory",
            f"{size_text(served.weights)} of weights + {size_text(served.cache * served.longest)} of cache for "
            f"{served.longest:,} tokens",
        )


def _gpus(plan: Plan) -> Iterator[str]:
    yield f"{'GPU':11}{'needs':>6}{'GPUs':>6}{'engines':>9}{'batch':>7}{'swap':>9}{'as a rule':>11}{'at most':>11}"
    for gpus in plan.gpus:
        yield from _gpu_rows(gpus)


def _gpu_rows(plan: GpuPlan) -> Iterator[str]:
    needs = "> 16" if plan.per_model is None else str(plan.per_model)
    start = f"{plan.gpu.name:11}{needs:>6}"
    if not plan.rows:
        yield f"{start}  {plan.count:>4}  do not hold the model"
    for row in plan.rows:
        sweep = row.typical
        counts = f"{row.gpus:>6}{sweep.engines:>9}{sweep.batch:>7}{time_text(sweep.swap_s):>9}"
        hours = f"{time_text(sweep.hours * 3600):>11}{time_text(row.at_most.hours * 3600):>11}"
        yield f"{start}{counts}{hours}  {row.verdict}"
        start = " " * len(start)


def _basis(plan: Plan) -> Iterator[str]:
    if plan.merge is not None:
        rates = plan.merge.rates
        read = "not measured (small files)" if rates.read is None else f"{rates.read / 1e9:,.1f} GB/s"
        yield from wrapped(
            f"measured here just now: memory copy {rates.copy / 1e9:,.1f} GB/s, sha256 {rates.digest / 1e9:,.1f} GB/s, "
            f"disk {read}"
        )
        yield from wrapped(
            f"{_merging_basis(plan.grid.way)}, memory is measured on models of 117M and 187M (merge/forecast.py); a "
            "busy machine takes longer"
        )
    if plan.gpus:
        yield from wrapped(
            "GPU hours are a roofline on data-sheet rates at assumed shares (eval/roofline.py); a swap is one merge "
            f"on this machine and the host's link; as a rule an answer has {TYPICAL_SHARE:g} of max_tokens; judging is "
            "apart"
        )


def _merging_basis(way: Way) -> str:
    """Where the seconds of what makes the merges come from."""
    if way == "mergekit":
        return f"mergekit moves {STOCK_PER_COPY:g} of copy's bytes a second ({BENCHMARK})"
    return (
        f"a blend moves {BLEND_PER_COPY:g} of copy's bytes a second ({BENCHMARK}), drawing an entry takes the time of "
        f"{COPIED_PER_ENTRY} copied bytes"
    )
