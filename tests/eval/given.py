"""What engines are given and give: tensors at hand as weights, answers in order, a choosy chat template."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from eval.engine import Answer, Engine, Request, Sampling


@dataclass(frozen=True, slots=True)
class Given:
    """These tensors, in their order."""

    tensors: Mapping[str, torch.Tensor]

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        yield from self.tensors.items()


def answered(engine: Engine, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
    """The answers in the order of the requests."""
    given = dict(engine.generate(requests, sampling))
    return [given[i] for i in range(len(requests))]


def picky(model: Path, room: Path) -> Path:
    """A copy of a model whose chat template takes no system turn."""
    folder = room / "picky"
    shutil.copytree(model, folder)
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(template + (model / "chat_template.jinja").read_text())
    return folder
