"""Training model-safe and model-useful with one reference against two runs of TRL's, each with its own.

    python -m benchmarks.train_pair [--harmful 160 --others 64] [--width 128] [--rounds 7]

Prints and writes benchmarks/results/train_pair.json with machine and versions. The triples are the demo's, the model is
a random Llama. model-safe trains on the H harmful triples, model-useful on all T, one pass each. Per triple a reference
costs one unit, a step three (forward 1, backward 2), so that two runs take 4H + 4T units and one reference for both
leaves 3H + 4T. A round trains each model on both sides, in alternating order. What is measured is steady: reference
passes, and steps from their first forward pass to the optimizer's end; start-up, tokenizing and checkpoints are not.
One thread computes, so that its CPU time says what it did also where the machine has other work to do; even so that
time grows on a busy machine. The round before the timed ones counts the operations of all matrix products instead,
which are the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measured_on import cpu, versions
from mergescope.ground.progress import Reporter
from mergescope.ground.seeds import derive_seed
from trainer.config import DpoSection
from trainer.quiet import quiet_libraries
from trainer.triples import Triple, load_triples

RESULT = Path(__file__).parent / "results" / "train_pair.json"
LIBRARIES = ("torch", "transformers", "trl")
ALLOWED = 1.05
"""Times the bound."""
SEED = 1
MEASURES = ("operations", "cpu_s", "wall_s")
BATCH, MICRO = 32, 8
"""Triples a step, and a forward pass."""


@dataclass(slots=True)
class Clock:
    """Seconds that passed, and that this process computed, while the clock ran; or the operations that it counted."""

    counts: bool = False
    """Counts operations, which makes the seconds worthless."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    operations: int = 0
    """Floating-point additions and multiplications in matrix products and attention."""
    _since: tuple[float, float] = (0.0, 0.0)
    _counter: Any = None

    def start(self) -> None:
        if self.counts:
            from torch.utils.flop_counter import FlopCounterMode

            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()
        self._since = time.monotonic(), time.process_time()

    def stop(self) -> None:
        self.wall_s += time.monotonic() - self._since[0]
        self.cpu_s += time.process_time() - self._since[1]
        if self.counts:
            self._counter.__exit__(None, None, None)
            self.operations += self._counter.get_total_flops()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start()
        yield
        self.stop()


@dataclass(slots=True)
class Side:
    """What one side took to train both models, and the loss of every step, model-safe's first."""

    reference: Clock
    steps: Clock
    losses: list[float] = field(default_factory=list)

    def total(self, what: str) -> float:
        """what: one of MEASURES."""
        return float(getattr(self.reference, what) + getattr(self.steps, what))


@dataclass(frozen=True, slots=True)
class Round:
    """Both sides of one round."""

    trl: Side
    shared: Side

    def ratio(self, what: str) -> float:
        """Ours over TRL's."""
        return self.shared.total(what) / self.trl.total(what)


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.work) as name, quiet_libraries():
        room = Path(name)
        models = make_world(room, arguments.harmful, arguments.others, arguments.width)
        counted = one_round(room, models, 0, counts=True)
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(one_round(room, models, number))
            print({what: round(rounds[-1].ratio(what), 4) for what in MEASURES[1:]}, flush=True)
            _write(arguments, counted, rounds)  # also of a run that is ended early
    print(arguments.out.read_text(encoding="utf-8"))


def _write(arguments: argparse.Namespace, counted: Round, rounds: Sequence[Round]) -> None:
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "versions": versions(LIBRARIES),
        "setting": {name: getattr(arguments, name) for name in ("harmful", "others", "width")},
        **summary(counted, rounds, arguments.harmful, arguments.harmful + arguments.others),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def one_round(room: Path, models: tuple[list[Triple], list[Triple]], number: int, *, counts: bool = False) -> Round:
    """Trains each model on both sides, the other one first in every other round."""
    found = Round(*(Side(Clock(counts), Clock(counts)) for _ in range(2)))
    with tempfile.TemporaryDirectory(dir=room) as scratch:
        for role, triples in enumerate(models):
            for turn in (0, 1) if (number + role) % 2 == 0 else (1, 0):
                if turn == 0:
                    found.trl.losses += trl_run(room / "base", triples, found.trl)
                else:
                    found.shared.losses += shared_run(room / "base", triples, found.shared, Path(scratch))
    return found


def summary(counted: Round, rounds: Sequence[Round], harmful: int, triples: int) -> dict[str, Any]:
    """Bound and measurement: ratios are ours over TRL's, of times the median over the rounds."""
    bound = (3 * harmful + 4 * triples) / (4 * harmful + 4 * triples)
    ratios = {"operations_ratio": round(counted.ratio("operations"), 4)} | {
        f"{what.removesuffix('_s')}_ratio": round(statistics.median(one.ratio(what) for one in rounds), 4)
        for what in MEASURES[1:]
    }
    pairs = [(a, b) for one in rounds for a, b in zip(one.trl.losses, one.shared.losses, strict=True)]
    return {
        "bound": round(bound, 4),
        "target": round(ALLOWED * bound, 4),
        **ratios,
        "reached": {name: ratio <= ALLOWED * bound for name, ratio in ratios.items()},
        "steps": len(counted.trl.losses),
        "losses_differ_by": max(abs(a - b) for a, b in pairs),
        "rounds": [{what: round(one.ratio(what), 4) for what in MEASURES[1:]} for one in rounds],
        "sides": {name: _parts(name, counted, rounds) for name in ("trl", "shared")},
    }


def _parts(name: str, counted: Round, rounds: Sequence[Round]) -> dict[str, Any]:
    """Of one side, what reference and steps took: operations, and the median of the seconds."""

    def of(one: Round, part: str) -> Clock:
        clock: Clock = getattr(getattr(one, name), part)
        return clock

    return {
        part: {"operations": of(counted, part).operations}
        | {what: round(statistics.median(getattr(of(one, part), what) for one in rounds), 2) for what in MEASURES[1:]}
        for part in ("reference", "steps")
    }


def make_world(room: Path, harmful: int, others: int, width: int) -> tuple[list[Triple], list[Triple]]:
    """A random base in `room`, and the triples of model-safe and model-useful."""
    from trainer.demo import world

    world.write_world(room / "world", SEED)
    refused, answered = (
        load_triples(room / "world" / f"triples-{kind}.jsonl")[:count]
        for kind, count in (("harmful", harmful), ("borderline", others))
    )
    if (len(refused), len(answered)) != (harmful, others):
        raise SystemExit("the demo's world has fewer triples than that")
    _random_base(room / "base", [*refused, *answered], width)
    return refused, [*refused, *answered]


def _random_base(folder: Path, triples: Sequence[Triple], width: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainer.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([text for t in triples for text in (t.prompt, t.chosen, t.rejected)], 1200)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=4,
        num_attention_heads=4,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _section() -> DpoSection:
    return DpoSection(
        triples=(Path("triples.jsonl"),),
        epochs=1,
        batch_size=BATCH,
        micro_batch_size=MICRO,
        learning_rate=1e-4,
        sft_weight=1.0,
        max_length=256,
        dtype="float32",
    )


def _clocked_steps(clock: Clock) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]
        """Runs the clock within each step."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.stop()

    return Steps()


def trl_run(base: Path, triples: Sequence[Triple], side: Side) -> list[float]:
    """TRL's own trainer, which asks the base first; returns the loss of each step."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from trainer import tuning
    from trainer.dpo import preference_rows

    class ClockedTrainer(DPOTrainer):  # type: ignore[misc]
        """TRL's, with a clock on its reference."""

        def _precompute_ref_logps(self, *arguments: Any) -> Any:
            with side.reference.running():
                return super()._precompute_ref_logps(*arguments)

    torch.set_num_threads(1)
    seed = derive_seed(SEED, "dpo")
    torch.manual_seed(seed)
    section = _section()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = ClockedTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=DPOConfig(
                **tuning._arguments(section, Path(scratch), seed),
                beta=section.beta,
                loss_type=["sigmoid", "sft"],
                loss_weights=[1.0, section.sft_weight],
                max_length=section.max_length,
                precompute_ref_log_probs=True,
            ),
            train_dataset=Dataset.from_list(preference_rows(triples)),
            processing_class=tuning.load_tokenizer(base),
            callbacks=[_clocked_steps(side.steps)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


def shared_run(base: Path, triples: Sequence[Triple], side: Side, scratch: Path) -> list[float]:
    """A model as a study trains it, with the log-probabilities in `scratch`; returns the loss of each step."""
    from trainer.logps import LogpFile
    from trainer.method import prepare, train

    section, known = _section(), LogpFile(scratch / "logps.jsonl")
    with tempfile.TemporaryDirectory() as out, _clocks_in_the_trainer(side):
        prepare(section, base, triples, known, Reporter())
        content = train(section, base, triples, Path(out) / "model", SEED, Reporter(), known)
    return [step["loss"] for step in content["steps"]]


@contextmanager
def _clocks_in_the_trainer(side: Side) -> Iterator[None]:
    """Clocks on the reference and on each step; and one thread."""
    import torch

    from trainer import dpo, method, tuning

    complete, sums, follow, threads = method.complete, dpo._sums, tuning.follow, tuning.THREADS

    def clocked(file: Any, asked: Any, model: Any, *rest: Any, **options: Any) -> None:
        loaded, asked = model(), list(asked)
        with side.reference.running():
            complete(file, asked, lambda: loaded, *rest, **options)

    def clocked_sums(*arguments: Any) -> Any:
        with side.reference.running():
            return sums(*arguments)

    def followed(trainer: Any, *rest: Any) -> None:
        follow(trainer, *rest)
        trainer.add_callback(_clocked_steps(side.steps))

    torch.set_num_threads(1)
    method.__dict__["complete"] = clocked
    dpo.__dict__["_sums"] = clocked_sums
    tuning.__dict__.update(follow=followed, THREADS=1)
    try:
        yield
    finally:
        method.__dict__["complete"] = complete
        dpo.__dict__["_sums"] = sums
        tuning.__dict__.update(follow=follow, THREADS=threads)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harmful", type=int, default=160, help="triples of model-safe, at most 160")
    parser.add_argument("--others", type=int, default=64, help="further triples of model-useful, at most 320")
    parser.add_argument("--width", type=int, default=128, help="of the model's residual stream")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for the model and the data, deleted afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    main()
