"""What training a study's two models takes, said before any work: nothing is written, fetched or loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from eval.roofline import GPUS, OVERHEAD_BYTES
from merge.forecast import ITEM_BYTES, fits_disk, main_dtype, mergeable
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import MANIFEST, read_json
from mergescope.ground.units import size_text
from mergescope.machine import free_bytes
from mergescope.model_headers import KnownModel, known_models
from mergescope.study import Study
from mergescope.training_plan_records import BasePlan, DataPlan, RolePlan, TrainingPlan
from trainer.config import DualSection, PretrainSection, TrainSection, TuningSection
from trainer.held_out import split_of
from trainer.job import work_folder
from trainer.launch import Launch, read_launch, shown
from trainer.lengths import Lengths, estimated, measured
from trainer.memory import Memory, Way, memory_of
from trainer.shapes import Shape, published_shape, shape_of
from trainer.steps import batch_shape, steps_of
from trainer.training_data import load_data
from trainer.triples import Triple

CHECKPOINT_BYTES = 12
"""Bytes a trained parameter in a checkpoint: its float32 weight and AdamW's two moments."""


def training_plan(study: Study) -> TrainingPlan:
    """The forecast of `mergescope train`; raises RecipeError where the recipe trains nothing."""
    train = study.recipe.train
    if not isinstance(train, TrainSection):
        cure = "plan the merges: mergescope merge STUDY --plan"
        raise RecipeError("this study trains nothing", where=f"{study.file}: train", value=train, cure=cure)
    known = known_models(study)[0]
    problems: list[MergescopeError] = [] if known.problem is None else [known.problem]
    launch = None
    try:
        launch = None if train.accelerate is None else read_launch(study.resolve(train.accelerate))
    except RecipeError as error:
        problems.append(error)
    shape, base = _base(known, train.pretrain)
    sections: dict[Literal["safe", "useful"], TuningSection] = {"safe": train.safe, "useful": train.useful}
    roles = [_role(study, role, one, known, shape, base, launch, problems) for role, one in sections.items()]
    needed, free = _disk(roles, base, known, sections.values()), free_bytes(study.folder)
    if needed is not None and not fits_disk(needed, free):
        cure = "free some room, or put the recipe on another disk"
        what = f"training takes up to {size_text(needed)}, and {size_text(free)} are free on its disk"
        problems.append(MergescopeError(what, where=study.folder, cure=cure))
    return TrainingPlan(
        study=study.recipe.study,
        base=base,
        processes=1 if launch is None else launch.processes,
        machines=1 if launch is None else launch.machines,
        engine="one process" if launch is None else launch.engine,
        sharding="none" if launch is None else launch.sharding,
        roles=tuple(roles),
        disk_free=free,
        disk_needed=needed,
        notes=tuple(_notes(study, base, roles, launch)),
        refusals=tuple(dict.fromkeys(problem.line() for problem in problems)),
    )


def _base(known: KnownModel, pretrain: PretrainSection | None) -> tuple[Shape | None, BasePlan]:
    """The base's sizes and number of parameters: from its files, its published sizes, or the recipe that makes it."""
    shape, basis = None, "not here, and its sizes are in no table"
    if known.folder is not None and (known.folder / "config.json").is_file():
        shape, basis = shape_of(read_json(known.folder / "config.json")), "its headers, exact"
    elif pretrain is not None:
        shape, basis = _pretrained(pretrain), "the recipe's sizes; the vocabulary may come out smaller"
    elif known.state == "to be fetched":
        shape = published_shape(known.name)
        basis = "its published sizes" if shape else basis
    parameters = None if shape is None else shape.parameters
    if known.headers is not None:
        parameters = sum(tensor.numel for tensor in mergeable(known.headers).values())
        basis = "its headers, exact"
    return shape, BasePlan(known.name, known.state, parameters, basis)


def _pretrained(section: PretrainSection) -> Shape:
    width = section.hidden_size
    return Shape(section.layers, width, width * 8 // 3, width, width, section.vocab_size, tied=True)


def _role(
    study: Study,
    role: Literal["safe", "useful"],
    section: TuningSection,
    known: KnownModel,
    shape: Shape | None,
    base: BasePlan,
    launch: Launch | None,
    problems: list[MergescopeError],
) -> RolePlan:
    processes = 1 if launch is None else launch.processes
    try:
        micro, accumulated = batch_shape(section, processes)
    except RecipeError as error:
        problems.append(error)
        micro, accumulated = section.micro_batch_size or section.batch_size, 1
    data = _data(study, section, known, problems)
    length = min(data.longest, section.max_length) if data is not None and data.longest else section.max_length
    memory = None
    if shape is not None and base.parameters is not None:
        memory = memory_of(shape, base.parameters, _way(section, launch), _sides(section) * micro * length)
    trained = None if data is None else data.triples - data.held_out
    return RolePlan(
        role=role,
        method=_method(section),
        done=(study.folder / f"model-{role}" / MANIFEST).is_file(),
        data=data,
        steps=section.steps if trained is None else steps_of(section, trained),
        batch_size=section.batch_size,
        micro_batch_size=micro,
        sides=_sides(section),
        accumulated=accumulated,
        memory=memory,
        assumed_tokens=length,
        checkpoint_bytes=_checkpoint(section, shape, base),
        fits=() if memory is None else _fits(memory),
        command=_command(study, role, launch),
    )


def _sides(section: TuningSection) -> int:
    """Answers of each triple that go through the model: likelihood alone needs the chosen one."""
    return 1 if isinstance(section, DualSection) and section.mode == "none" else 2


def _way(section: TuningSection, launch: Launch | None) -> Way:
    lora = section.lora
    return Way(
        half=section.dtype == "bfloat16",
        rank=None if lora is None else lora.rank,
        four_bit=lora is not None and lora.four_bit,
        checkpointing=section.gradient_checkpointing,
        processes=1 if launch is None else launch.processes,
        sharding="none" if launch is None else launch.sharding,
    )


def _data(study: Study, section: TuningSection, known: KnownModel, problems: list[MergescopeError]) -> DataPlan | None:
    """The triples in numbers; None, and why among the problems, where a file is not there or not readable."""
    files = [study.resolve(path) for path in section.triples]
    if study.recipe.world is not None and not all(file.exists() for file in files):
        return None  # the world stage makes them
    unreviewed = study.recipe.train != "skip" and study.recipe.train.unreviewed
    try:
        triples = [triple for file in files for triple in load_data(file, unreviewed=unreviewed)]
        parts = split_of(section, triples, study.recipe.train.seed if study.recipe.train != "skip" else 0)
    except MergescopeError as error:
        problems.append(error)
        return None
    lengths = _lengths(known.folder, parts.trained)
    if lengths.longest > section.max_length:
        what = "a triple is longer than max_length, in tokens"
        cure = "raise train.*.max_length or shorten it"
        problems.append(MergescopeError(what, where=study.file, value=lengths.longest, cure=cure))
    trained = len(parts.trained)
    passes = section.epochs or (section.steps or 0) * section.batch_size / trained
    held_out = len(parts.held_out)
    tokens = lengths.total if _sides(section) == 2 else sum(lengths.chosen)
    return DataPlan(len(triples), held_out, tokens, lengths.longest, lengths.basis, round(passes, 2))


def _lengths(folder: Path | None, triples: Sequence[Triple]) -> Lengths:
    if folder is None or not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        return estimated(triples)
    from trainer.tuning import load_tokenizer

    return measured(load_tokenizer(folder), triples)


def _method(section: TuningSection) -> str:
    lora = section.lora
    what = "all weights" if lora is None else f"{'QLoRA' if lora.four_bit else 'LoRA'} of rank {lora.rank}"
    return f"{f'dual tuning ({section.mode})' if isinstance(section, DualSection) else 'DPO'}, {what}"


def _checkpoint(section: TuningSection, shape: Shape | None, base: BasePlan) -> int | None:
    if shape is None or base.parameters is None:
        return None
    return CHECKPOINT_BYTES * (base.parameters if section.lora is None else shape.adapter(section.lora.rank))


def _fits(memory: Memory) -> tuple[str, ...]:
    return tuple(gpu.name for gpu in GPUS.values() if memory.total + OVERHEAD_BYTES <= gpu.memory)


def _command(study: Study, role: str, launch: Launch | None) -> str:
    if launch is None:
        return shown(["mergescope", "train", str(study.file)])
    return shown(launch.command(work_folder(study.folder, role)))


def _disk(
    roles: Sequence[RolePlan], base: BasePlan, known: KnownModel, sections: Iterable[TuningSection]
) -> int | None:
    """Bytes of the models that are not there yet, and of two checkpoints of the larger kind."""
    if base.parameters is None:
        return None
    stored = "float32" if known.headers is None else main_dtype(known.headers)
    models, checkpoints = 0, [0]
    for plan, section in zip(roles, sections, strict=True):
        if not plan.done:
            models += base.parameters * (4 if section.lora is None else ITEM_BYTES[stored])
            checkpoints.append(2 * (plan.checkpoint_bytes or 0))
    return models + max(checkpoints)


def _notes(study: Study, base: BasePlan, roles: Sequence[RolePlan], launch: Launch | None) -> Iterator[str]:
    if study.recipe.world is not None and any(role.data is None for role in roles):
        yield "the triples are not written yet: the first stage of `mergescope train` makes them"
    if base.parameters is None:
        yield "without the base's sizes neither memory nor disk is estimated; fetch it, or name its folder"
    if launch is None and any(role.memory is not None and not role.fits for role in roles):
        yield (
            "no GPU holds it in one process: share the model over several, by a file of `accelerate config` (FSDP or "
            "DeepSpeed) that train.accelerate names, or train an adapter (train.*.lora)"
        )
    if launch is not None and launch.engine == "DeepSpeed":
        yield "DeepSpeed is a package of its own: pip install deepspeed"
