"""The servers of a recipe, opened, with the journals of what they said; what may be toxic lies in the quarantine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from eval.chat.budget import Budget, Tariff
from eval.chat.place import host_of
from eval.config import OpenAIJudge
from eval.judge import judge_id_of
from eval.judges.cost import tariff_of
from eval.judges.openai import OpenAIScorer
from mergescope.ground.files import disk_refusals
from mergescope.ground.ids import content_id
from trainer.quarantine import Quarantine
from trainer.synthesis.config import MakeSection, WriterSection
from trainer.synthesis.writer import Writer

JOURNAL = "journal"
"""Folder of received responses, in `<study>/data` and in the quarantine."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What writes, and what judges."""

    writer: Writer
    second: Writer | None
    """Its journal lies in the quarantine, as does the judge's, who quotes what it judges."""
    judge: OpenAIScorer | None
    judge_tariff: Tariff | None

    def used(self) -> dict[str, float]:
        """What this process took of all of them: tokens, and money by currency as far as prices are known."""
        writers = [one for one in (self.writer, self.second) if one is not None]
        taken = [(one.chat.used, one.tariff) for one in writers]
        if self.judge is not None:
            taken.append((self.judge.used, self.judge_tariff))
        amounts = {"tokens": 0.0}
        for used, tariff in taken:
            amounts["tokens"] += used.prompt + used.completion
            if tariff is not None:
                money = float(tariff.cost(used.prompt, used.completion))
                amounts[tariff.unit] = amounts.get(tariff.unit, 0.0) + money
        return amounts


def open_servers(
    section: MakeSection, judge: OpenAIJudge | None, study_folder: Path, quarantine: Quarantine, budget: Budget | None
) -> Servers:
    """The recipe's servers. judge: None where no answers to avoid are made. budget: shared by all; None: no limit.

    Raises MergescopeError where a key's environment variable is not set, or a price that the budget needs.
    """
    writer = Writer(
        section.writer,
        "the writer's server",
        writer_journal(section.writer, study_folder),
        seed=section.seed,
        tries=section.tries,
        budget=budget,
    )
    if section.second is None or judge is None:
        return Servers(writer, None, None, None)
    second = Writer(
        section.second,
        "the second model's server",
        second_journal(section.second, quarantine),
        seed=section.seed,
        tries=section.tries,
        budget=budget,
    )
    scorer = OpenAIScorer.from_section(judge, quarantine.folder / JOURNAL, budget)
    _private(second.chat.journal.path)
    _private(quarantine.folder / JOURNAL / f"{judge_id_of(scorer)}.jsonl")
    return Servers(writer, second, scorer, tariff_of(judge.price))


def writer_journal(section: WriterSection, study_folder: Path) -> Path:
    """Where the writer's responses are kept."""
    return study_folder / "data" / JOURNAL / _name(section)


def second_journal(section: WriterSection, quarantine: Quarantine) -> Path:
    """Where the second model's responses are kept: they are toxic."""
    return quarantine.folder / JOURNAL / _name(section)


def _name(section: WriterSection) -> str:
    return f"{content_id('m1', [host_of(str(section.base_url)), section.model])}.jsonl"


def _private(path: Path) -> None:
    """Make a file that nobody else can read, before anything is written to it."""
    with disk_refusals(path):
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.chmod(0o600)
