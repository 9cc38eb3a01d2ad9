"""The stages of a study, in order: each finds its own finished work and leaves it alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from eval.chat.budget import Budget
from merge.points import grid
from mergescope.consent import ask_about_hosts, host_texts
from mergescope.environment import offline
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import MANIFEST
from mergescope.ground.progress import LOG, PROGRESS, Reporter
from mergescope.inputs import (
    asks_own,
    check_engine_and_judges,
    check_inputs,
    check_names,
    check_store,
    prompts_kept_out,
)
from mergescope.lock import locked
from mergescope.model_headers import require_room
from mergescope.spending import BudgetLimit, Server, judging_servers, servers_budget
from mergescope.study import Study
from trainer.config import TrainSection

Command = Literal["train", "merge", "eval"]


@dataclass(frozen=True, slots=True)
class Work:
    """What every stage is given."""

    study: Study
    store: Path
    """The results file."""
    reporter: Reporter
    only: Sequence[str] = ()
    """The checkpoints that are evaluated; none: all of the study's."""
    budget: Budget | None = None
    """Of what self-alignment's servers and the judges may spend together; None: no limit."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a study."""

    name: str
    """As users see it."""
    command: Command
    """The command that does this stage alone; `run` does all of them."""
    folder: str | None
    """Its folder in the study's, whose manifest says that it is done; None: it keeps nothing there."""
    do: Callable[[Work], None]
    """Does what is missing."""

    def is_made(self, study: Study) -> bool:
        """Whether the stage has finished once; whether with the recipe's present values, only its run can tell."""
        return self.folder is not None and any(study.folder.glob(f"{self.folder}/**/{MANIFEST}"))


def stages_of(study: Study) -> list[Stage]:
    """The stages that a study's recipe asks for, in order."""
    recipe = study.recipe
    training = recipe.train != "skip"
    blended = grid(recipe.merge)[0].way == "blend"
    wanted = {
        "world": recipe.world is not None,
        "base": isinstance(recipe.train, TrainSection) and recipe.train.pretrain is not None,
        "selfalign": recipe.data is not None and recipe.data.selfalign is not None,
        "safe": training,
        "useful": training,
        "inputs": bool(study.adapted_roles),
        "masks": blended,
        "models": not blended,
    }
    return [stage for stage in STAGES if wanted.get(stage.name, True)]


def do(
    study: Study,
    store: Path,
    commands: Sequence[str],
    only: Sequence[str] = (),
    limit: BudgetLimit | None = None,
    *,
    until: str | None = None,
    yes: bool = False,
) -> None:
    """Do the stages of `commands` that are not done, one process at a time.

    until: the last stage, by name; None: the last of the commands.
    only: checkpoints to evaluate, by name; none: all of the study's. limit: of what self-alignment's servers and the
    judges may spend together, as far as their stages are done; None: no limit. yes: texts may go to every host of the
    recipe without a question.

    Raises the MergescopeError family for whatever the user can mend, before any work where that can be seen then.
    """
    if study.is_local:
        offline()
    stages = stages_of(study)
    todo = _up_to(until, [stage for stage in stages if stage.command in commands])
    check_names(study, only)
    own = asks_own(only)
    if own:
        _require_earlier(study, [stage for stage in stages if stage.command not in commands], todo)
    budget = servers_budget(_paid_servers(study, todo), limit)
    check_store(store)
    if all(stage.name != "world" for stage in todo):  # else the data files are made first, and checked then
        check_inputs(study)
    if "eval" in commands:
        check_engine_and_judges(study, only, budget)
    ask_about_hosts(study, _told(study, store, todo, only), yes=yes)
    if own and {"merge", "eval"} & set(commands):
        require_room(study)
    with locked(study.folder):
        reporter = Reporter(sys.stderr, study.folder / PROGRESS, study.folder / LOG)
        work = Work(study, store, reporter, only, budget)
        with logged(reporter, [stage.name for stage in todo]):
            for stage in todo:
                _do_one(stage, work)
        if "eval" in commands:
            work.reporter.say(f"results are in {store}; look at them with: mergescope dashboard")


@contextmanager
def logged(reporter: Reporter, names: Sequence[str]) -> Iterator[None]:
    """Within the block the log says what begins, and how it ends where that is not well."""
    reporter.log(f"mergescope {version('mergescope')}: {', '.join(names)}")
    try:
        yield
    except MergescopeError as error:
        with suppress(MergescopeError):  # the disk's refusal shall not hide the run's own error
            reporter.log(error.line())
        raise
    except BaseException as error:  # Ctrl-C too
        with suppress(MergescopeError):
            reporter.log(f"ended by {type(error).__name__}")
        raise


def _paid_servers(study: Study, todo: Sequence[Stage]) -> list[Server]:
    """The servers that a budget pays: of self-alignment and of the judges, as far as their stages are to be done."""
    from mergescope.self_alignment import section_of, servers_of

    names = [stage.name for stage in todo]
    making = servers_of(section_of(study)) if "selfalign" in names else []
    judging = judging_servers(study.recipe.eval.judges) if "sweep" in names else []
    return [*making, *judging]


def _told(study: Study, store: Path, todo: Sequence[Stage], only: Sequence[str]) -> dict[str, str]:
    """What is sent to each host: one that both makes pairs and judges is asked about once, for both."""
    from mergescope.self_alignment import host_texts as making_texts
    from mergescope.self_alignment import section_of

    names = [stage.name for stage in todo]
    told = making_texts(section_of(study)) if "selfalign" in names else {}
    for host, words in (host_texts(study, store, only) if "sweep" in names else {}).items():
        told[host] = f"{told[host]}; and {words}" if host in told else words
    return told


def _up_to(last: str | None, stages: list[Stage]) -> list[Stage]:
    names = [stage.name for stage in stages]
    return stages if last is None else stages[: names.index(last) + 1]


def _do_one(stage: Stage, work: Work) -> None:
    started = time.monotonic()
    work.reporter.stage(stage.name)
    before = _finished(stage, work.study)
    with _threads_kept():
        stage.do(work)
    fresh = stage.folder is None or _finished(stage, work.study) != before
    seconds = time.monotonic() - started
    work.reporter.say(f"[{stage.name}] done in {seconds:.1f} s" if fresh else f"[{stage.name}] was done already")


def _finished(stage: Stage, study: Study) -> dict[str, float]:
    """When each manifest of the stage was written."""
    if stage.folder is None:
        return {}
    return {str(path): path.stat().st_mtime for path in study.folder.glob(f"{stage.folder}/**/{MANIFEST}")}


def _require_earlier(study: Study, others: Sequence[Stage], todo: Sequence[Stage]) -> None:
    """Refuse to start where models are not trained; masks are no condition, since the sweep draws missing ones."""
    for stage in others:
        if stage.command == "train" and todo and not stage.is_made(study):
            cure = "run `mergescope train` on this recipe first"
            raise MergescopeError(f"the stage {stage.name} has not finished", where=study.file, cure=cure)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Training settles torch's number of threads; later stages shall find the machine's own, resumed or not."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _world(work: Work) -> None:
    from trainer.stages import make_world

    if work.study.recipe.world is None:
        raise ValueError("the recipe has no world")
    make_world(work.study.folder / "world", work.study.recipe.world, work.reporter)
    check_inputs(work.study)


def _base(work: Work) -> None:
    from trainer.stages import make_base

    study, train = work.study, _training(work.study)
    if train.pretrain is None:
        raise ValueError("the recipe does not make its base")
    corpus = study.resolve(train.pretrain.corpus)
    make_base(study.folder / "base", train.pretrain, corpus, train.seed, work.reporter)


def _selfalign(work: Work) -> None:
    from mergescope.self_alignment import make_pairs

    make_pairs(work.study, work.reporter, work.budget)


def _finetune(role: Literal["safe", "useful"]) -> Callable[[Work], None]:
    def make(work: Work) -> None:
        from trainer.job import work_folder
        from trainer.retention import kept
        from trainer.stages import make_finetune

        study, train = work.study, _training(work.study)
        section = train.safe if role == "safe" else train.useful
        triples = [study.resolve(path) for path in section.triples]
        with kept(triples, work_folder(study.folder, role)):
            make_finetune(
                study.folder / f"model-{role}",
                role,
                section,
                study.model("base"),
                triples,
                prompts_kept_out(study),
                train.seed,
                work.reporter,
                None if train.accelerate is None else study.resolve(train.accelerate),
                train.unreviewed,
            )

    return make


def _training(study: Study) -> TrainSection:
    if study.recipe.train == "skip":
        raise ValueError("the recipe trains nothing")
    return study.recipe.train


def _inputs(work: Work) -> None:
    from mergescope.merges import make_inputs

    make_inputs(work.study, work.reporter)


def _masks(work: Work) -> None:
    from mergescope.merges import draw_masks, models_of

    models_of(work.study, work.reporter)  # fetched now, if they are on the Hub, so that their size is known
    require_room(work.study)
    draw_masks(work.study, work.reporter)


def _models(work: Work) -> None:
    from mergescope.merges import check_models_fit

    check_models_fit(work.study, work.reporter)


def _sweep(work: Work) -> None:
    from mergescope.sweep import sweep

    sweep(work.study, work.store, work.reporter, work.only, work.budget)


STAGES = (
    Stage("world", "train", "world", _world),
    Stage("base", "train", "base", _base),
    Stage("selfalign", "train", "data/selfalign", _selfalign),
    Stage("safe", "train", "model-safe", _finetune("safe")),
    Stage("useful", "train", "model-useful", _finetune("useful")),
    Stage("inputs", "merge", "inputs", _inputs),
    Stage("masks", "merge", "masks", _masks),
    Stage("models", "merge", None, _models),
    Stage("sweep", "eval", None, _sweep),
)
"""All stages in the order in which they run."""
