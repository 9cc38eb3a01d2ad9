"""The forecast of training: exact where something can be counted, and labelled where not; nothing is done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import RecipeError
from mergescope.study import load_study
from mergescope.training_plan import training_plan
from mergescope.training_plan_records import TrainingPlan
from mergescope.training_plan_text import training_plan_lines
from tests.mergescope.conftest import ROOT, cli, prompt_lines, write_lines
from tests.mergescope.recipes import STUDIES, own_models, written
from tests.mergescope.sparse import write_llama

P = 13_707_924_480
FSDP = "distributed_type: FSDP\nnum_machines: 1\nnum_processes: 8\n"
TRIPLE = {
    "chosen": "はい。" * 40,
    "rejected": "いいえ。",
    "meta": {"risk-area": "a", "harm-type": "b", "specific-harm": "c"},
}


def triples(path: Path, count: int) -> Path:
    write_lines(path, [{"idx": f"{path.stem}-{i}", "prompt": f"{i}番は？", **TRIPLE} for i in range(count)])
    return path


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    """A study that trains both models from a 13B base, headers only, over eight GPUs."""
    assert write_llama(tmp_path / "base") == P
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    triples(tmp_path / "harmful.jsonl", 300)
    triples(tmp_path / "other.jsonl", 100)
    (tmp_path / "fsdp.yaml").write_text(FSDP, encoding="utf-8")
    tuning = {"epochs": 1, "batch_size": 64, "micro_batch_size": 2, "max_length": 512, "gradient_checkpointing": True}
    found = own_models()
    found["models"] = {"base": "./base"}
    found["train"] = {
        "seed": 1,
        "accelerate": "fsdp.yaml",
        "safe": {"triples": ["harmful.jsonl"], **tuning},
        "useful": {"triples": ["harmful.jsonl", "other.jsonl"], **tuning, "lora": {"rank": 16}},
    }
    return found


def plan(tmp_path: Path, raw: dict[str, Any]) -> TrainingPlan:
    return training_plan(load_study(written(tmp_path, raw)))


def text_of(found: TrainingPlan) -> str:
    return "\n".join(training_plan_lines(found))


def test_steps_memory_and_command_of_a_13b_study(raw: dict[str, Any], tmp_path: Path) -> None:
    found = plan(tmp_path, raw)
    safe, useful = found.roles
    assert (found.base.parameters, found.base.basis) == (P, "its headers, exact")
    assert (safe.steps, useful.steps) == (5, 7)
    assert (safe.micro_batch_size, safe.accumulated, found.processes) == (2, 4, 8)
    assert safe.data is not None
    assert safe.data.triples == 300
    assert safe.data.tokens == sum(
        -(-len((f"{i}番は？" + answer).encode()) // 4) + 20
        for i in range(300)
        for answer in (TRIPLE["chosen"], TRIPLE["rejected"])
    )
    assert "an estimate" in safe.data.basis
    assert safe.memory is not None
    assert (safe.memory.gradients, safe.memory.optimizer) == (P // 2, P)
    assert "H100-80GB" in safe.fits
    assert "L4" not in safe.fits
    assert useful.memory is not None
    assert useful.memory.total < safe.memory.total / 2
    text = text_of(found)
    assert "processes       8, FSDP: each holds a share of the model, its gradients and its optimizer" in text
    assert "steps           5, of 64 triples = 2 a GPU and pass x 4 passes x 8 GPUs" in text
    assert "model-useful: DPO, LoRA of rank 16" in text
    assert f"accelerate launch --config_file {tmp_path}/fsdp.yaml" in text
    assert f"-m trainer.worker {tmp_path}/tiny/training/safe" in text
    assert max(len(line) for line in text.splitlines() if "command" not in line) <= 100


def test_both_models_and_two_checkpoints_must_fit_the_disk(raw: dict[str, Any], tmp_path: Path) -> None:
    """model-safe in float32, model-useful in the base's bfloat16; 12 bytes a parameter, twice."""
    assert plan(tmp_path, raw).disk_needed == 4 * P + 2 * P + 2 * 12 * P


def test_what_stands_against_a_run_is_one_line_each(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["train"]["safe"]["triples"] = ["none.jsonl"]
    raw["train"]["useful"]["max_length"] = 64
    (tmp_path / "fsdp.yaml").write_text(FSDP.replace("8", "5"), encoding="utf-8")
    done = cli("train", written(tmp_path, raw), "--plan", cwd=tmp_path)
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert sum("none.jsonl: no such file" in line for line in told) == 1
    assert sum("a triple is longer than max_length, in tokens" in line for line in told) == 1
    assert sum("5 devices with 2 triples each do not make up a batch" in line for line in told) == 1
    assert "things against a run:" in done.stdout


def test_a_study_that_trains_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="this study trains nothing"):
        plan(tmp_path, own_models())


def test_json_holds_the_same_and_needs_the_plan(raw: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path, raw)
    found = json.loads(cli("train", file, "--plan", "--json", cwd=tmp_path).stdout)
    assert found["roles"][0]["steps"] == 5
    assert found["base"]["parameters"] == P
    assert "belongs to --plan" in cli("train", file, "--json", cwd=tmp_path).stderr


def test_the_contest_study_is_planned_without_its_base_and_its_data(tmp_path: Path) -> None:
    for name in ("llm-jp-3-13b.yaml", "accelerate/fsdp-8.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((STUDIES / name).read_text(encoding="utf-8"), encoding="utf-8")
    found = training_plan(load_study(tmp_path / "llm-jp-3-13b.yaml"))
    assert (found.base.parameters, found.base.basis) == (P, "its published sizes")
    assert found.processes == 8
    for role in found.roles:
        assert (role.steps, role.assumed_tokens, role.accumulated) == (None, 2048, 16)
        assert role.fits == ("A100-80GB", "H100-80GB", "H200", "L40S")
    assert {path.name for path in tmp_path.iterdir()} == {"llm-jp-3-13b.yaml", "accelerate"}


def test_tokens_of_a_base_that_is_here_are_counted_by_its_tokenizer(
    raw: dict[str, Any], tmp_path: Path, tiny_models: Path
) -> None:
    from transformers import AutoTokenizer

    raw["models"] = {"base": str(tiny_models / "base")}
    raw["train"]["useful"]["early_stop"] = {"held_out": 0.25}
    found = plan(tmp_path, raw)
    tokenizer = AutoTokenizer.from_pretrained(tiny_models / "base")
    expected = 0
    for i in range(300):
        for answer in (TRIPLE["chosen"], TRIPLE["rejected"]):
            messages = [{"role": "user", "content": f"{i}番は？"}, {"role": "assistant", "content": answer}]
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            expected += len(tokenizer.encode(text, add_special_tokens=False))
    safe, useful = found.roles
    assert safe.data is not None
    assert (safe.data.tokens, safe.data.basis) == (expected, "the base's tokenizer, exact")
    assert useful.data is not None
    assert 60 < useful.data.held_out < 140
    assert useful.steps == -(-(400 - useful.data.held_out) // 64)


def test_a_plan_starts_without_torch(raw: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path, raw)
    code = (
        "import sys\n"
        f"sys.argv = ['mergescope', 'train', {str(file)!r}, '--plan']\n"
        "from mergescope.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"
