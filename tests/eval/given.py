"""What engines are given: tensors at hand as weights, and a model whose chat template is choosy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True)
class Given:
    """These tensors, in their order."""

    tensors: Mapping[str, torch.Tensor]

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        yield from self.tensors.items()


def picky(model: Path, room: Path) -> Path:
    """A copy of a model whose chat template takes no system turn."""
    folder = room / "picky"
    shutil.copytree(model, folder)
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(template + (model / "chat_template.jinja").read_text())
    return folder
