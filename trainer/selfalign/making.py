"""The set of pairs that a study's base makes of itself: opened, made, and its manifest written last."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.chat.budget import Budget
from eval.config import EngineSection
from eval.engines.served_identity import journal_of
from eval.judge import Judge, judge_id_of, open_judge
from merge.identity import checkpoint_id
from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals, is_done, read_json, write_json, write_manifest
from mergescope.ground.ids import file_hash, full_hash
from mergescope.ground.progress import Reporter
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.notes import Notes
from trainer.selfalign.polarisation import JudgedPolarisation, LikelihoodPolarisation, Polarisation
from trainer.selfalign.prompts import load_prompts
from trainer.selfalign.records import Round, fates
from trainer.selfalign.rendering import check_constraints, renderer
from trainer.selfalign.rounds import Stop, Workshop, first_constraints, self_align
from trainer.selfalign.seeds import CONSTRAINTS, load_seeds
from trainer.selfalign.voice import PRIVATE, Voice, greeted, own_voice, served_voice

SETTING = "setting.json"
NOTES = "said.jsonl"
JOURNAL = "journal"
NO_EFFECT = {"seeds", "pairs", "rounds", "novelty", "engine", "served", "filter"}
"""Keys left out of a round's setting: where data lie, how many rounds there are, and what runs model and judge, whose
own identities count."""
LIBRARIES = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a study gives to self-alignment."""

    study: Path
    """The study's folder."""
    folder: Path
    """The set's: `<study>/data/selfalign`."""
    seeds: Path
    base: Path | None
    """The model under training; None where it is behind a server."""
    engine: EngineSection
    """`eval.engine`, which runs it where the section names none."""
    evaluated: Iterable[str]
    """Prompts of the evaluation sets."""
    made_by: str
    """Name of the base."""
    filed: Callable[[str], tuple[str, str, str] | None]
    """Where the taxonomy files a domain."""
    harms: int
    """Specific harms of the taxonomy."""


def make_set(section: SelfAlignSection, grounds: Grounds, reporter: Reporter, budget: Budget | None = None) -> Path:
    """Make the pairs, or go on where an earlier run stopped; returns the set's folder.

    budget: of what served model and judge may spend together; None: no limit. Raises MergescopeError where it is
    reached, DataError where the seed annotations are not usable, or where the folder holds pairs of another setting,
    CheckpointError where the base's chat template does not say a system message.
    """
    seeds = load_seeds(grounds.seeds)
    quarantine = Quarantine(grounds.study)
    private = quarantine.folder / PRIVATE
    judge = open_filter_judge(section, private, budget)
    identity = None if section.served is None else greeted(section.served, grounds.study, budget)
    model = checkpoint_id(_base_of(grounds)) if identity is None else identity.checkpoint_id
    setting = _setting(section, grounds, judge, model)
    extent = {name: str(getattr(section, name)) for name in ("pairs", "rounds", "novelty")}
    stage_hash = full_hash({"setting": setting, "extent": extent})
    if is_done(grounds.folder, stage_hash):
        return grounds.folder
    prompts = load_prompts(section.language)
    if identity is None:  # before the setting is noted: a mended template makes another one
        check_constraints(_base_of(grounds), first_constraints(section, prompts), seeds[0].text)
    _begin(grounds.folder, setting)
    _begin_private(quarantine.folder, private, section, judge)
    notes = Notes(grounds.folder / NOTES)
    if identity is None:
        voice = own_voice(section, grounds.engine, _base_of(grounds), notes, quarantine)
    else:
        voice = served_voice(section, identity, notes, quarantine, budget)
    try:
        shop = Workshop(
            section=section,
            prompts=prompts,
            voice=voice,
            polarisation=_polarisation(judge, grounds, voice, budget),
            seeds=seeds,
            evaluated=grounds.evaluated,
            filed=grounds.filed,
            harms=grounds.harms,
            folder=grounds.folder,
            pairs=PairSet(grounds.folder),
            made_by=grounds.made_by,
            reporter=reporter,
        )
        rounds, stop = self_align(shop)
    finally:
        voice.engine.close()
        notes.close()
    if private.exists():
        shutil.rmtree(private)
    reporter.say(stop_line(rounds, stop, section))
    write_manifest(grounds.folder, stage_hash=stage_hash, content=summary(rounds, stop, len(seeds), voice))
    return grounds.folder


def summary(rounds: Sequence[Round], stop: Stop, seeds: int, voice: Voice) -> dict[str, Any]:
    """What the manifest holds: counts, where the pairs come from, and each round's numbers."""
    accepted = sum(len(made.accepted) for made in rounds)
    return {
        "annotations": {"seeds": seeds, "constraints": CONSTRAINTS, "all": seeds + CONSTRAINTS},
        "pairs": {"all": accepted, "written_by_the_model": accepted, "written_by_people": 0},
        "model": voice.checkpoint_id,
        "seed": voice.seed,
        "stop": stop,
        "fates": fates(rounds),
        "rounds": [
            {"round": made.number, "accepted": len(made.accepted), "refined": made.refined, **asdict(made.numbers)}
            for made in rounds
        ],
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def stop_line(rounds: Sequence[Round], stop: Stop, section: SelfAlignSection) -> str:
    """Why there is no further round, in words."""
    pairs = sum(len(made.accepted) for made in rounds)
    why = {
        "pairs": "as many as wanted",
        "novelty": f"the last round's instructions mostly repeat earlier ones (novelty below {section.novelty})",
        "rounds": "as many rounds as the recipe allows",
    }
    return f"self-alignment: {pairs} of {section.pairs} pairs after {len(rounds)} rounds: {why[stop]}"


def _setting(section: SelfAlignSection, grounds: Grounds, judge: Judge | None, model: str) -> dict[str, Any]:
    """All that decides what a round says; more rounds of the same setting may follow."""
    engine = section.engine or grounds.engine
    return {
        "stage": "selfalign1",
        "section": section.model_dump(mode="json", exclude=NO_EFFECT),
        "filter": [section.filter.by, str(section.filter.gap), None if judge is None else judge_id_of(judge)],
        "seeds": file_hash(grounds.seeds),
        "prompts": load_prompts(section.language).sha256,
        "evaluated": full_hash(sorted(set(grounds.evaluated))),
        "model": model,
        "engine": "served" if section.served is not None else f"{engine.kind} {engine.dtype}",
    }


def _begin_private(quarantine: Path, private: Path, section: SelfAlignSection, judge: Judge | None) -> None:
    """Make the folders and journals of servers such that nobody else can read them."""
    journals = [] if judge is None or judge.kind == "proxy" else [private / JOURNAL / f"{judge_id_of(judge)}.jsonl"]
    if section.served is not None:
        journals.append(journal_of(section.served, private))
    with disk_refusals(private):
        for folder in (quarantine, private, *(journal.parent for journal in journals)) if journals else ():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        for journal in journals:
            os.close(os.open(journal, os.O_CREAT | os.O_WRONLY, 0o600))
            journal.chmod(0o600)


def _base_of(grounds: Grounds) -> Path:
    if grounds.base is None:
        raise ValueError("neither a base nor a server")
    return grounds.base


def _begin(folder: Path, setting: Mapping[str, Any]) -> None:
    """Note the setting at the first round, and hold later ones against it."""
    path = folder / SETTING
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, setting)
        return
    known = read_json(path)
    if changed := next((name for name in setting if setting[name] != known.get(name)), None):
        cure = "move the folder away to start anew, or restore the recipe; `pairs`, `rounds`, `novelty` may be changed"
        raise DataError("holds pairs that were made with another setting", where=folder, value=changed, cure=cure)


def open_filter_judge(section: SelfAlignSection, private: Path, budget: Budget | None = None) -> Judge | None:
    """The judge that filters; None where likelihoods do. private: a folder in the quarantine.

    A verdict may quote what it judges, so that its journal lies there too. Raises MergescopeError where the judge's
    key is not set, or the price that a budget needs.
    """
    return open_judge(section.filter.judge, private / JOURNAL, budget) if section.filter.by == "judge" else None


def _polarisation(judge: Judge | None, grounds: Grounds, voice: Voice, budget: Budget | None) -> Polarisation:
    if judge is not None:
        return JudgedPolarisation(judge, budget)
    return LikelihoodPolarisation(voice.engine, renderer(_base_of(grounds)))
