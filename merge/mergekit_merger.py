"""The slow path: mergekit itself for every merge point, its tensors taken from a pipe before any is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from merge.child import Child, child
from merge.identity import kernel_level, weights_hashes
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.merger import MadeWith
from merge.points import MergePoint
from merge.sources import Models, check_models, stored_dtype, stored_tensors
from mergescope.ground.errors import MergescopeError

if TYPE_CHECKING:
    import torch


class MergekitMerger:
    """Three checkpoint folders and one setting: every ratio of it is a run of mergekit in a process of its own."""

    def __init__(self, point: MergePoint, models: Models, *, threads: int) -> None:
        """Check and hash the models; mergekit runs only when weights are asked for.

        threads: mergekit's --num-threads. Raises CheckpointError for models that do not fit together.
        """
        roles = (point.base_role, *point.term_roles)
        check_models(models, roles)
        inputs = dict(zip(roles, weights_hashes([models.folder(role) for role in roles]), strict=True))
        dtype = stored_dtype(models.folder(point.base_role))
        self.made = MadeWith("mergekit", inputs, threads, kernel_level(), dtype)
        """What the last bits of its weights depend on."""
        self._point = point
        self._models = models

    @property
    def output_bytes(self) -> int:
        """Bytes of one merge's tensors, by the headers of the merge's base."""
        import torch

        size: int = getattr(torch, self.made.out_dtype).itemsize
        return sum(t.numel * size for t in stored_tensors(self._models.folder(self._point.base_role)).values())

    def blend(
        self,
        point: MergePoint,
        into: Mapping[str, torch.Tensor] | None = None,  # noqa: ARG002 - a pipe has its own
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor of the merge by name, in the order in which mergekit saves them; each is the caller's own.

        Closing the iterator early ends mergekit. Raises MergescopeError for a point that differs in more than ratio
        and lambda, or where mergekit's process is killed; CheckpointError for a model that mergekit refuses.
        """
        if replace(point, ratio=self._point.ratio, lambda_=self._point.lambda_) != self._point:
            raise MergescopeError(
                "this merge point has another setting than the one opened",
                value=point.label,
                cure="open a merger for its method, mode, densities and seed",
            )
        config = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], self.made.out_dtype))
        job = {"config": config, "seed": point.mask_seed, "threads": self.made.threads}
        roles = tuple(self.made.inputs)
        with child("merge.stream", job, self._models, roles, self.made.kernel_level) as process:
            yield from _received(process)

    def draw(self) -> dict[str, Any] | None:
        """None: what mergekit draws on the way is not kept."""
        return None


def _received(process: Child) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that `merge.stream` sends; raises EOFError where it ends before it says that all are sent."""
    import torch

    from merge.tensor_bytes import tensor_bytes

    while message := process.message():
        if "done" in message:
            return
        tensor = torch.empty(message["shape"], dtype=getattr(torch, message["dtype"]))
        room = tensor_bytes(tensor)
        while room:
            count = process.output.readinto(room)
            if not count:
                raise EOFError(message["name"])
            room = room[count:]
        yield message["name"], tensor
    raise EOFError
