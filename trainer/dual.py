"""PT-ALIGN-style dual tuning: likelihood of the chosen answer, unlikelihood of the rejected answer's toxic tokens.

The loss is `trainer.unlikelihood.dual_loss`; U, the toxic tokens, is settled once, from the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergescope.ground.errors import DataError
from mergescope.ground.progress import Reporter
from mergescope.ground.seeds import derive_seed
from trainer.config import DualSection
from trainer.encoding import Encoded, check_length, encode
from trainer.held_out import split_of
from trainer.logps import Continuation, LogpFile, padded, scoring
from trainer.triples import Triple
from trainer.tuning import Setup, load_tokenizer, tune
from trainer.unlikelihood import DualLoss, dual_loss, toxic_by_absence, toxic_by_ratio

if TYPE_CHECKING:
    import torch

METRICS = {"likelihood": "likelihood", "unlikelihood": "unlikelihood"}
"""Parts of the loss of each step."""
LEAST_SHARE, MOST_SHARE = 0.05, 0.60
"""Of the toxic tokens that may be in U in mode ratio: fewer teach nothing, more is no choice of tokens."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What one triple trains."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    """With what closes it: a model shall end there."""
    rejected: tuple[int, ...]
    """Without what closes it: unlikely, that would have a harmful answer go on, and refusals end the same way."""
    toxic: tuple[bool, ...]
    """U: which tokens of `rejected` are made unlikely."""


@dataclass(frozen=True, slots=True)
class ToxicShare:
    """How large U is, over all pairs."""

    share: float
    """Of the rejected answers' tokens, closing ones left out, 0 to 1."""
    empty: int
    """Pairs without a token in U: they train the likelihood alone."""


def train_dual(
    section: DualSection,
    base: Path | str,
    triples: Sequence[Triple],
    out: Path,
    seed: int,
    reporter: Reporter,
    logps: LogpFile,
    work: Path | None = None,
) -> dict[str, Any]:
    """Tune `base` on the triples and write a loadable checkpoint into `out`. work: see `trainer.tuning.tune`.

    logps: holds all that `dual_references` asks for. Returns what the manifest should hold: seed, number of triples,
    `toxic_tokens` with share and empty, and loss, likelihood and unlikelihood of each step. Raises DataError where a
    triple is longer than `max_length` tokens, lacks its toxic constraint, or where U is too small or too large.
    """
    tokenizer = load_tokenizer(base)
    parts = split_of(section, triples, seed)
    trained, held_out = (
        pairs_of(section, encode_constrained(section, tokenizer, rows), logps)
        for rows in (parts.trained, parts.held_out)
    )
    share = toxic_share(trained)
    if section.mode == "ratio":
        _check_share(share, section.threshold)

    def build(setup: Setup) -> Any:
        return _trainer(section, setup, trained, held_out)

    own = derive_seed(seed, "dual")
    count = len(trained)
    content = tune(
        section, base, out, own, reporter, name="dual tuning", triples=count, build=build, metrics=METRICS, work=work
    )
    toxic = {"share": round(share.share, 5), "empty": share.empty}
    return {"seed": seed, "triples": len(triples), "toxic_tokens": toxic, **content}


def encode_constrained(section: DualSection, tokenizer: Any, triples: Sequence[Triple]) -> list[Encoded]:
    """All triples as token ids, under their toxic constraints where the mode asks for them; errors as in train_dual."""
    encoded = []
    for triple in triples:
        constraint = triple.toxic_constraint or section.toxic_constraint if section.mode == "ratio" else None
        if section.mode == "ratio" and constraint is None:
            cure = "give train.*.toxic_constraint, or `toxic_constraint` in the triple"
            raise DataError("no toxic constraint to hold the rejected answer against", where=triple.idx, cure=cure)
        encoded.append(encode(tokenizer, triple, constraint))
        check_length(triple, encoded[-1], section.max_length)
    return encoded


def dual_references(encoded: Sequence[Encoded]) -> list[Continuation]:
    """What mode ratio asks of the base, and no other: the rejected answer with the constraint and without it."""
    return [
        Continuation(context, one.rejected)
        for one in encoded
        if one.constrained is not None
        for context in (one.constrained, one.prompt)
    ]


def pairs_of(section: DualSection, encoded: Sequence[Encoded], logps: LogpFile) -> list[Pair]:
    """The pairs with their toxic tokens, by the section's mode."""
    return [_pair(one, _toxic(section, one, logps)) for one in encoded]


def toxic_share(pairs: Sequence[Pair]) -> ToxicShare:
    """The size of U over all tokens of all rejected answers."""
    tokens = sum(len(pair.toxic) for pair in pairs)
    return ToxicShare(sum(sum(pair.toxic) for pair in pairs) / tokens, sum(not any(pair.toxic) for pair in pairs))


def _pair(one: Encoded, toxic: Sequence[bool]) -> Pair:
    text = len(one.rejected) - one.closing
    return Pair(one.prompt, one.chosen, one.rejected[:text], tuple(toxic[:text]))


def _toxic(section: DualSection, one: Encoded, logps: LogpFile) -> list[bool]:
    if section.mode == "none":
        return [False] * len(one.rejected)
    if section.mode == "uniform":
        return [True] * len(one.rejected)
    if section.mode == "mask":
        return toxic_by_absence(one.rejected, one.chosen)
    if one.constrained is None:
        raise ValueError("mode ratio needs the prompt under the constraint")
    log_p, log_q = (logps.logps(Continuation(context, one.rejected)) for context in (one.constrained, one.prompt))
    return toxic_by_ratio(log_p.tolist(), log_q.tolist(), section.threshold)


def _check_share(found: ToxicShare, threshold: float) -> None:
    if LEAST_SHARE <= found.share <= MOST_SHARE:
        return
    few = found.share < LEAST_SHARE
    cure = (
        "lower threshold, or sample the rejected answers under the constraint"
        if few
        else "raise threshold: now most do"
    )
    what = f"{found.share:.1%} of the rejected answers' tokens count as toxic at threshold {threshold:g}"
    raise DataError(what, where="train.*.mode: ratio", cure=f"{cure}; {LEAST_SHARE:.0%} to {MOST_SHARE:.0%} is sound")


def collate(pairs: Sequence[Pair], *, both: bool) -> dict[str, torch.Tensor]:
    """A batch of B pairs: input_ids, attention_mask, labels (R, T) and toxic (B, T - 1).

    both: R is 2B, chosen answers first; else the rejected ones, which train nothing then, are left out and R is B.
    `toxic` stands as labels do, shifted by one: place t is about the token t + 1.
    """
    import torch

    answers = [pair.chosen for pair in pairs] + ([pair.rejected for pair in pairs] if both else [])
    prompts = [pair.prompt for pair in pairs] * (2 if both else 1)
    rows = [(*prompt, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
    batch = padded(rows, [len(prompt) for prompt in prompts])
    toxic = torch.zeros(len(pairs), batch["labels"].shape[1] - 1, dtype=torch.bool)
    for i, pair in enumerate(pairs if both else ()):
        start = len(pair.prompt) - 1
        toxic[i, start : start + len(pair.toxic)] = torch.tensor(pair.toxic)
    return {**batch, "toxic": toxic}


def loss_of(model: Any, batch: Mapping[str, torch.Tensor], section: DualSection) -> DualLoss:
    """The loss of a batch of B pairs as `collate` makes it, (B,); the model as `trainer.logps.scoring` leaves it."""
    toxic = batch["toxic"]
    inputs = {name: tensor for name, tensor in batch.items() if name != "toxic"}
    logps = model(**inputs, use_cache=False, fused_lm_head=True).log_probs
    answered = inputs["labels"][:, 1:] >= 0
    count = len(toxic)
    rejected = logps[count:] if len(logps) > count else logps.detach()  # without them U is empty
    return dual_loss(
        logps[:count],
        answered[:count],
        rejected,
        toxic,
        section.unlikelihood_weight,
        section.gradient_bound,
    )


def _trainer(section: DualSection, setup: Setup, trained: list[Pair], held_out: list[Pair]) -> Any:
    from transformers import Trainer, TrainingArguments

    both = section.mode != "none"

    class DualTrainer(Trainer):  # type: ignore[misc]
        """transformers' trainer with the loss of dual tuning, a mean over the pairs of an optimizer step."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.loss_is_scaled_for_ga = True
            self._parts: dict[str, list[float]] = {name: [] for name in METRICS}

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
            """Pairs of the whole optimizer step, over its micro batches and all devices."""
            import torch

            count = torch.tensor(sum(len(batch["toxic"]) for batch in batch_samples), device=device)
            return self.accelerator.gather(count).sum()

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The sum over the micro batch's pairs over the step's number of pairs."""
            found = loss_of(model, inputs, section)
            if num_items_in_batch is None:  # held-out pairs, looked at batch by batch
                return (found.total.mean(), {}) if return_outputs else found.total.mean()
            shares = self.accelerator.num_processes / num_items_in_batch  # gradients are averaged over processes
            for name, values in (("likelihood", found.likelihood), ("unlikelihood", found.unlikelihood)):
                self._parts[name].append(float((values.detach().sum() * shares).cpu()))
            loss = found.total.sum() * shares
            return (loss, {}) if return_outputs else loss

        def prediction_step(
            self,
            model: Any,
            inputs: Any,
            prediction_loss_only: bool,  # noqa: ARG002
            ignore_keys: Any = None,  # noqa: ARG002
        ) -> tuple[Any, None, None]:
            """The loss alone."""
            import torch

            with torch.no_grad(), self.compute_loss_context_manager():
                return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            """Adds the parts of the loss, each the sum over the step's micro batches."""
            if "loss" in logs:
                import torch

                mine = torch.tensor([sum(self._parts[name]) for name in METRICS], device=self.args.device)
                whole = self.accelerator.gather(mine[None]).mean(dim=0)
                logs |= dict(zip(METRICS, whole.tolist(), strict=True))
                self._parts = {name: [] for name in METRICS}
            super().log(logs, start_time)

    scoring(setup.model)
    return DualTrainer(
        model=setup.tuned(),
        args=TrainingArguments(**setup.arguments, remove_unused_columns=False, label_names=[]),
        train_dataset=trained,
        eval_dataset=held_out or None,
        data_collator=_Collator(both),
        processing_class=setup.tokenizer,
    )


@dataclass(frozen=True, slots=True)
class _Collator:
    both: bool

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        return collate(pairs, both=self.both)
