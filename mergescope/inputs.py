"""What a study reads, checked before anything is made of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.chat.budget import Budget
from eval.config import RESERVED
from eval.engine import template_of
from eval.inbox.taking import take_in
from eval.judge import Judge, judge_id_of, open_judge
from eval.prompt_files import load_prompt_sets
from eval.prompts import PromptSet
from eval.store import open_store
from merge.adapters import Pair
from mergescope.ground.errors import DataError, MergescopeError, RecipeError
from mergescope.study import Study
from trainer.config import TrainSection
from trainer.pairs.pair_set import PairSet
from trainer.selfalign.config import SELF_ALIGNED

JOURNAL = "journal"
"""Folder in the study's where received judgements are kept before anything else is done with them."""

PATIENCE_S = 5.0
"""Seconds to wait for a results file that another process holds, before any work."""


def check_store(store: Path) -> None:
    """Open the results file if there is one, and take in what pages left in its inbox, saying so on stderr.

    Raises StoreError where it is not ours or is held.
    """
    if store.exists():
        with open_store(store, read_only=False, patience_s=PATIENCE_S):
            pass
        for line in take_in(store, PATIENCE_S).lines():
            print(f"inbox: {line}", file=sys.stderr)


def check_inputs(study: Study) -> None:
    """Read every data file, so that a mistake costs seconds and not a training; raises DataError."""
    train = study.recipe.train
    if isinstance(train, TrainSection):
        from trainer.data.overlap import check_overlap
        from trainer.training_data import load_prompts

        files = dict.fromkeys([*train.safe.triples, *train.useful.triples])
        there = [place for place in map(study.resolve, files) if not _to_be_made(study, train, place)]
        triples = [triple for place in there for triple in load_prompts(place, unreviewed=train.unreviewed)]
        check_overlap(triples, prompts_kept_out(study))
        if train.pretrain is not None and not study.resolve(train.pretrain.corpus).is_file():
            cure = "correct `train.pretrain.corpus`"
            raise DataError("no such corpus", where=study.resolve(train.pretrain.corpus), cure=cure)
    else:
        prompt_sets(study)


def _to_be_made(study: Study, train: TrainSection, place: Path) -> bool:
    """Whether a stage of this study has yet to make a folder of pairs, or to put the first pair to train on into it."""
    data = study.recipe.data
    if data is None or place.absolute().parent != (study.folder / "data").absolute():
        return False
    grows = data.selfalign is not None and place.name == SELF_ALIGNED
    return not place.exists() or (grows and not PairSet(place).taken(unreviewed=train.unreviewed))


def open_judges(study: Study, budget: Budget | None = None) -> list[Judge]:
    """The judges of the recipe, in its order. budget: what they may spend together; None: no limit.

    Raises MergescopeError where a key is not set, and RecipeError where two are one judge: each question would be
    asked twice.
    """
    judges: dict[str, Judge] = {}
    for position, section in enumerate(study.recipe.eval.judges):
        judge = open_judge(section, study.folder / JOURNAL, budget)
        if judges.setdefault(judge_id_of(judge), judge) is not judge:
            where = f"{study.file}: eval.judges[{position}]"
            cure = "leave one out, or set `repeats` to have it judge more often"
            raise RecipeError("the same judge stands before it", where=where, value=judge.name, cure=cure)
    return list(judges.values())


def check_engine_and_judges(study: Study, only: Sequence[str] = (), budget: Budget | None = None) -> None:
    """Look for the engine's package, its tokenizer and chat template as far as they are here, and the servers' keys.

    only: names of what is evaluated; none: everything. budget: of what the judges may spend; None: no limit. Raises
    MergescopeError where something that it needs is missing.
    """
    own = asks_own(only)
    if own:
        _check_template(study)
    open_judges(study, budget)
    asked = [one for one in study.recipe.eval.checkpoints if not only or one.name in only]
    for checkpoint in asked:
        if checkpoint.kind == "served":
            from eval.engines.served_identity import place_of

            place_of(checkpoint).key()
    # our own engine answers for all but served models
    engine = own or any(one.kind == "model" for one in asked)
    if engine and study.recipe.eval.engine.kind == "vllm" and importlib.util.find_spec("vllm") is None:
        cure = "run `make .venv/vllm` in the project's folder"
        raise MergescopeError("vllm is not installed", where=f"{study.file}: eval.engine.kind", cure=cure)


def asks_own(only: Sequence[str]) -> bool:
    """Whether the merges or the three models themselves are evaluated. only: as in `check_engine_and_judges`."""
    return not only or not set(RESERVED).isdisjoint(only)


def check_names(study: Study, only: Sequence[str]) -> None:
    """Raises MergescopeError for a name in `only` that is no checkpoint of the study."""
    names = study.checkpoint_names
    if unknown := next((name for name in only if name not in names), None):
        cure = f"use {', '.join(names)}"
        raise MergescopeError("no such checkpoint in the recipe", where="--only", value=unknown, cure=cure)


def _check_template(study: Study) -> None:
    """Look into model-safe, whose tokenizer and template every merge answers with; not where it is yet to be made."""
    model = study.model("safe")
    parts = (model.adapter, model.base) if isinstance(model, Pair) else (model,)
    folders = [part for part in parts if isinstance(part, Path) and part.is_dir()]
    if len(folders) == len(parts):
        template_of(*folders)


def prompt_sets(study: Study) -> tuple[PromptSet, ...]:
    """The study's prompt sets; raises DataError naming file, line, field and cure."""
    recipe = study.recipe
    return load_prompt_sets(recipe.eval.sets, study.file, recipe.seed, recipe.eval.confirm_share)


def known_prompts(study: Study) -> tuple[Sequence[PromptSet] | None, DataError | None]:
    """The prompt sets, or why they cannot be read; neither where the study's own first stage is to write them."""
    try:
        return prompt_sets(study), None
    except DataError as error:
        to_be_made = study.recipe.world is not None and not (study.folder / "world").exists()
        return None, None if to_be_made else error


def prompts_kept_out(study: Study) -> list[str]:
    """The prompts that training is held against: none where the recipe allows the overlap, else `held_out_prompts`."""
    prompts = held_out_prompts(study)
    allowed = isinstance(study.recipe.train, TrainSection) and study.recipe.train.allow_overlap
    return [] if allowed else prompts


def held_out_prompts(study: Study) -> list[str]:
    """Every user turn of the evaluation."""
    return [
        message["content"]
        for prompt_set in prompt_sets(study)
        for item in prompt_set.items
        for message in item.messages
        if message["role"] == "user"
    ]
