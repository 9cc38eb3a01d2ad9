"""What every tuning shares: a kill costs steps and no bits, held-out triples end it, an adapter ends as a folder."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import read_json, write_json
from mergescope.ground.ids import file_hash
from mergescope.ground.progress import Reporter
from tests.trainer.tuned import tuned
from trainer.checkpoints import SEAL, STATE, last_whole, newest, seal
from trainer.config import DpoSection, EarlyStopSection, LoraSection
from trainer.curve import append_point, read_curve
from trainer.following import _watcher
from trainer.steps import batch_shape, steps_of
from trainer.tuning import _write, require_one_gpu

WEIGHTS = "model.safetensors"


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    """Train until `step` has been logged, and no further."""

    def fall(work: Path, point: dict[str, float]) -> None:
        append_point(work, point)
        if point["step"] == step and "loss" in point:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("trainer.following.append_point", fall)
        with pytest.raises(Killed):
            tuned(*arguments)


def test_training_goes_on_from_its_checkpoint_with_the_same_bits(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = tuning.model_copy(update={"save_every": 4, "micro_batch_size": 2})
    whole = tuned(section, base, triples_file, tmp_path / "whole")
    work = tmp_path / "work"
    killed_at(2, monkeypatch, section, base, triples_file, tmp_path / "out", work)
    assert newest(work) is None
    killed_at(6, monkeypatch, section, base, triples_file, tmp_path / "out", work)
    assert [point["step"] for point in read_curve(work)] == [1, 2, 3, 4, 5, 6]
    assert newest(work) == work / "checkpoint-4"
    killed_at(11, monkeypatch, section, base, triples_file, tmp_path / "out", work)
    assert [point["step"] for point in read_curve(work)] == list(range(1, 12))
    assert [path.name for path in work.glob("checkpoint-*")] == ["checkpoint-8"]
    assert tuned(section, base, triples_file, tmp_path / "out", work) == whole
    assert file_hash(tmp_path / "out" / WEIGHTS) == file_hash(tmp_path / "whole" / WEIGHTS)
    # killed after the last step, before the model was whole: nothing is left to train
    (tmp_path / "out" / WEIGHTS).unlink()
    monkeypatch.setattr("trainer.tuning._train", None)
    assert tuned(section, base, triples_file, tmp_path / "out", work) == whole
    assert file_hash(tmp_path / "out" / WEIGHTS) == file_hash(tmp_path / "whole" / WEIGHTS)
    assert not [file for file in (tmp_path / "out").iterdir() if file.suffix in (".bin", ".pt", ".pth")]


def test_a_changed_or_unsealed_checkpoint_is_not_gone_on_from(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = tuning.model_copy(update={"save_every": 2})
    killed_at(5, monkeypatch, section, base, triples_file, tmp_path / "out", tmp_path / "work")
    checkpoint = newest(tmp_path / "work")
    assert checkpoint is not None
    assert read_json(checkpoint / SEAL).keys() >= {"optimizer.pt", "rng_state.pth", WEIGHTS}
    assert last_whole(tmp_path / "work", Reporter()) == checkpoint
    (checkpoint / "optimizer.pt").write_bytes(b"cos\nsystem\n")
    assert last_whole(tmp_path / "work", Reporter()) is None
    assert not checkpoint.exists()
    (tmp_path / "work" / "checkpoint-9").mkdir()
    assert last_whole(tmp_path / "work", Reporter()) is None


def test_a_checkpoint_is_of_no_use_without_that_of_the_best_weights(tmp_path: Path) -> None:
    for step, best in ((2, 2), (4, 2), (6, 2)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        write_json(folder / STATE, {"global_step": step, "best_global_step": best})
        (folder / WEIGHTS).write_bytes(b"weights")
        seal(tmp_path, step, best)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-2", "checkpoint-6"}
    assert last_whole(tmp_path, Reporter()) == tmp_path / "checkpoint-6"
    (tmp_path / "checkpoint-2" / WEIGHTS).write_bytes(b"torn")
    told = io.StringIO()
    assert last_whole(tmp_path, Reporter(told)) is None
    assert "checkpoint-2 is damaged" in told.getvalue()
    assert "checkpoint-2, of the best weights, is not there any more: checkpoint-6 is not used" in told.getvalue()
    assert not any(tmp_path.iterdir())


def test_what_several_processes_began_is_told(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their random states are in files of their own, and their sums are other sums than one process makes."""
    section = tuning.model_copy(update={"save_every": 2})
    killed_at(3, monkeypatch, section, base, triples_file, tmp_path / "out", tmp_path / "work")
    states = tmp_path / "work" / "checkpoint-2" / "rng_state.pth"
    states.rename(states.with_name("rng_state_0.pth"))
    assert tuned(section, base, triples_file, tmp_path / "out", tmp_path / "work")["resumed"] is True


def test_a_model_takes_only_its_own_files_from_a_checkpoint(tuning: DpoSection, base: Path, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(base, tmp_path / "checkpoint-2")
    for name in ("latest", "zero_to_fp32.py", "optimizer.pt", SEAL, STATE):
        (checkpoint / name).write_text("", encoding="utf-8")
    _write(tuning, base, checkpoint, tmp_path / "out", tmp_path, Reporter())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in base.iterdir()}


@pytest.mark.deep
def test_held_out_triples_end_the_training_and_pick_the_weights(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = EarlyStopSection(held_out=0.3, every=2, patience=2)
    section = tuning.model_copy(update={"steps": 40, "early_stop": stop, "learning_rate": 0.1})
    whole = tuned(section, base, triples_file, tmp_path / "whole")
    looks = whole["held_out"]
    best = min(looks, key=lambda look: look["loss"])
    assert len(whole["steps"]) == looks[-1]["step"] == best["step"] + 4 < 40
    work = tmp_path / "work"
    killed_at(len(whole["steps"]) - 1, monkeypatch, section, base, triples_file, tmp_path / "out", work)
    assert tuned(section, base, triples_file, tmp_path / "out", work) == whole
    assert {path.name for path in work.glob("checkpoint-*")} == {
        f"checkpoint-{best['step']:.0f}",
        f"checkpoint-{len(whole['steps'])}",
    }
    assert file_hash(tmp_path / "out" / WEIGHTS) == file_hash(tmp_path / "whole" / WEIGHTS)
    assert file_hash(tmp_path / "out" / WEIGHTS) == file_hash(work / f"checkpoint-{best['step']:.0f}" / WEIGHTS)
    monkeypatch.setattr("trainer.tuning._train", None)
    assert tuned(section, base, triples_file, tmp_path / "again", work) == whole
    assert file_hash(tmp_path / "again" / WEIGHTS) == file_hash(tmp_path / "whole" / WEIGHTS)


@pytest.mark.deep
def test_an_adapter_ends_as_a_whole_checkpoint(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    section = tuning.model_copy(update={"lora": LoraSection(rank=2, alpha=4), "save_every": 4})
    whole = tuned(section, base, triples_file, tmp_path / "whole")
    assert whole["steps"][-1]["loss"] < whole["steps"][0]["loss"]
    work = tmp_path / "work"
    killed_at(6, monkeypatch, section, base, triples_file, tmp_path / "out", work)
    assert tuned(section, base, triples_file, tmp_path / "out", work) == whole
    assert file_hash(tmp_path / "out" / WEIGHTS) == file_hash(tmp_path / "whole" / WEIGHTS)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if "_proj" in name}
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes()


def test_the_recipe_alone_says_how_it_computes(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = tuning.model_copy(update={"steps": 1})
    expected = tuned(section, base, triples_file, tmp_path / "plain")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert tuned(section, base, triples_file, tmp_path / "told") == expected


def test_a_loss_that_is_no_number_stops_the_run(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    section = tuning.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(MergescopeError, match=r"step \d+: .* is no number any more.*lower learning_rate"):
        tuned(section, base, triples_file, tmp_path / "out")


def test_a_gradient_that_is_no_number_stops_the_run_at_its_step(tmp_path: Path) -> None:
    """The loss of that step is sound, and the last step has no loss after it."""
    with Reporter().task("DPO", 3, "steps") as task:
        watcher = _watcher(task, tmp_path, {})
        state = SimpleNamespace(global_step=3, is_world_process_zero=True)
        watcher.on_log(None, state, None, {"loss": 0.5, "grad_norm": 2.0})
        with pytest.raises(MergescopeError, match="step 3: the gradient is no number any more"):
            watcher.on_log(None, state, None, {"loss": 0.5, "grad_norm": math.nan})


@pytest.mark.parametrize(
    ("batch", "micro", "processes", "shape"),
    [(32, None, 1, (32, 1)), (256, 2, 8, (2, 16)), (32, None, 4, (8, 1)), (6, 3, 2, (3, 1)), (4, 1, 1, (1, 4))],
)
def test_devices_share_a_batch(
    tuning: DpoSection, batch: int, micro: int | None, processes: int, shape: tuple[int, int]
) -> None:
    assert batch_shape(tuning.model_copy(update={"batch_size": batch, "micro_batch_size": micro}), processes) == shape


@pytest.mark.parametrize(("batch", "micro", "processes"), [(4, 4, 2), (6, None, 4), (2, None, 4)])
def test_a_batch_that_devices_cannot_share_is_refused(
    tuning: DpoSection, batch: int, micro: int | None, processes: int
) -> None:
    section = tuning.model_copy(update={"batch_size": batch, "micro_batch_size": micro})
    with pytest.raises(RecipeError, match=r"do not make up a batch \(got \d\); make it a multiple of"):
        batch_shape(section, processes)


@pytest.mark.parametrize(
    ("epochs", "steps", "triples", "expected"),
    [(1, None, 3315, 13), (0.5, None, 9, 2), (2.5, None, 8, 5), (None, 7, 1, 7)],
)
def test_steps_of_an_epoch(
    tuning: DpoSection, epochs: float | None, steps: int | None, triples: int, expected: int
) -> None:
    batch = 256 if triples > 100 else 4
    section = tuning.model_copy(update={"epochs": epochs, "steps": steps, "batch_size": batch})
    assert steps_of(section, triples) == expected


def test_one_process_does_not_train_on_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    require_one_gpu()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(RecipeError, match=r"train\.accelerate.*several GPUs.*4.*CUDA_VISIBLE_DEVICES"):
        require_one_gpu()
