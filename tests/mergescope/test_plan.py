"""The forecast of a study: everything that it promises, and nothing done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.roofline import GPUS
from merge.forecast import STOCK_PER_COPY
from mergescope.cli import main
from mergescope.ground.memory import Memory
from mergescope.model_headers import disk_refusal, require_room
from mergescope.plan import memory_refusal, plan_of
from mergescope.plan_answers import GpuRow, gpu_plan
from mergescope.plan_records import Plan, RoomPlan
from mergescope.plan_text import plan_lines
from mergescope.study import load_study
from tests.mergescope.conftest import ROOT, cli, prompt_lines, write_lines
from tests.mergescope.recipes import STUDIES, changed, demo, own_models, written
from tests.mergescope.sparse import LLM_JP_13B, write_llama

A100 = (GPUS["A100-40GB"], 4)
PARAMETERS_13B = 13_707_924_480
"""2 x 99,584 x 5,120 + 40 x (4 x 5,120^2 + 3 x 5,120 x 13,824 + 2 x 5,120) + 5,120"""
COLUMNS = 100


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A recipe of three 13B models, headers only, that vLLM answers."""
    for role in ("base", "safe", "useful"):
        assert write_llama(tmp_path / role) == PARAMETERS_13B
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    raw = own_models()
    raw["merge"] = {"ratios": {"steps": 21}, "mask_seeds": [1, 2]}
    raw["eval"]["engine"] = {"kind": "vllm", "dtype": "bfloat16", "max_model_len": 4096}
    raw["eval"]["sampling"] = {"max_tokens": 1024}
    return written(tmp_path, raw)


def plan(file: Path, hours: float = 24.0, **kwargs: Any) -> Plan:
    return plan_of(load_study(file), [A100], hours, gpus_named=kwargs.get("named", True))


def text_of(plan: Plan) -> str:
    return "\n".join(plan_lines(plan))


def test_a_13b_study_is_forecast_from_its_headers(big: Path) -> None:
    before = tree(big.parent)
    done = cli("merge", big, "--plan", cwd=big.parent)
    assert tree(big.parent) == before  # nothing is written, not even an empty store
    for promised in (
        "parameters      13,707,924,480",
        "LlamaForCausalLM, 363 tensors",
        "base            27.4 GB    bfloat16  ./base",
        "42 = 21 ratios x 2 mask seeds",
        "our blend in memory",
        "writes no checkpoint (0 bytes)",
        "masks           0 of 2 mask seeds drawn; 3.4 GB each",
        "8.25 a parameter and ratio: 6 of weights, 0.25 of masks, 2 out (bfloat16)",
        "the study will write 6.9 GB of masks",
        "page cache      85.7 GB of mapped files",
        "45 = 42 merge points + 3 references",
        "6 x 1 sample: 6 answers a checkpoint, 270 in all",
        "(UTF-8 bytes / 4, no tokenizer read)",
        "27.4 GB of weights + 3.4 GB of cache for 4,096 tokens",
        "measured here just now: memory copy",
        "(benchmarks/results/merge_grid.json)",
        "a blend moves",
        "a roofline on data-sheet rates",
    ):
        assert promised in " ".join(done.stdout.split("\n")), promised
    assert max(map(len, done.stdout.splitlines())) <= COLUMNS
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert rows["draw"].split()[3:9] == ["2", "82.2", "GB", "3.4", "GB", "9.1"]
    assert rows["blend"].split()[3:6] == ["42", "85.7", "GB"]
    assert "27.4 GB" in rows["export"]
    assert rows["A100-40GB"].split()[1:4] == ["1", "1", "1"]


def test_it_imports_no_torch_and_is_quick_to_start(big: Path) -> None:
    probe = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, 'mergekit' in sys.modules, file=sys.stderr))\n"
        "from mergescope.cli import main\n"
        f"sys.argv = ['mergescope', 'merge', {str(big)!r}, '--plan']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=big.parent, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "False False"
    assert "Plan of the study" in done.stdout


def test_json_says_the_same(big: Path) -> None:
    done = cli("merge", big, "--plan", "--json", "--gpu", "L4", "--gpu", "H100-80GB x2", "--hours", "1", cwd=big.parent)
    found = json.loads(done.stdout)
    assert found["merge"]["parameters"] == PARAMETERS_13B
    assert found["merge"]["output_bytes"] == 2 * PARAMETERS_13B
    assert [model["bytes"] > 2 * PARAMETERS_13B for model in found["models"]] == [True] * 3
    assert found["grid"]["points"] == 42
    assert [gpu["gpu"]["name"] for gpu in found["gpus"]] == ["L4", "H100-80GB"]
    assert [row["gpus"] for row in found["gpus"][1]["rows"]] == [1, 2]
    assert found["gpus"][0]["per_model"] == 2
    assert found["refusals"] == done.stderr.splitlines()
    assert done.returncode == 2


def test_everything_that_will_not_fit_is_told_at_once(big: Path) -> None:
    (big.parent / "prompts.jsonl").write_text(
        "".join(
            json.dumps({"key": str(i), "kind": "benign", "prompt": f"question {i}", "category": ["a"]}) + "\n"
            for i in range(3000)
        ),
        encoding="utf-8",
    )
    done = cli("merge", big, "--plan", "--gpu", "RTX 4090 x8", "--gpu", "A100-40GB", "--hours", "3", cwd=big.parent)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert any(
        line.startswith("RTX 4090 x8: the model takes 30.8 GB")
        and "it needs 2" in line
        and "tensor_parallel: 2" in line
        for line in lines
    )
    assert any(line.startswith("A100-40GB x1: the answers take about") and "the limit is 3 h" in line for line in lines)
    assert f"{len(lines)} things against a run:" in done.stdout


def test_a_model_that_is_split_over_gpus_is_not_refused(big: Path) -> None:
    raw = yaml.safe_load(big.read_text(encoding="utf-8"))
    raw["eval"]["engine"]["tensor_parallel"] = 2
    study = load_study(written(big.parent, raw))
    four = plan_of(study, [(GPUS["RTX 4090"], 4)], 1e6, gpus_named=True)
    assert four.refusals == ()
    assert [(row.gpus, row.typical.engines) for row in four.gpus[0].rows] == [(2, 1), (4, 2)]
    assert any("one engine on 2 GPUs" in note for note in four.notes)
    (refusal,) = plan_of(study, [(GPUS["RTX 4090"], 1)], 1e6, gpus_named=True).refusals
    assert refusal.startswith("RTX 4090 x1: an engine takes more GPUs than that (got 2)")


def test_hours_decide_the_verdict(big: Path) -> None:
    found = plan(big)
    assert found.asked is not None
    assert found.served is not None

    def on_one(hours: float) -> GpuRow:
        section = load_study(big).recipe.eval
        return gpu_plan(section, found.served, found.asked, A100[0], 1, 0.0, hours).rows[0]  # type: ignore[arg-type]

    low, high = on_one(24).typical.hours, on_one(24).at_most.hours
    assert low < high
    verdicts = [on_one(limit).verdict for limit in (low * 0.9, (low + high) / 2, high * 1.1)]
    assert verdicts == ["too long", "fits if answers are short", "fits"]


def test_more_gpus_take_fewer_hours(big: Path) -> None:
    rows = plan(big).gpus[0].rows
    assert [row.gpus for row in rows] == [1, 2, 4]
    assert rows[2].typical.hours < rows[1].typical.hours < rows[0].typical.hours


@pytest.mark.deep
def test_drawn_masks_count_as_done(own_study: Callable[..., Path]) -> None:
    file = own_study()
    assert plan(file).grid.seeds_drawn == 0
    assert cli("merge", file, cwd=file.parent).returncode == 0
    found = plan(file)
    assert found.grid.seeds_drawn == 1
    assert found.merge is not None
    assert found.room is not None
    assert [(need.name, need.times) for need in found.merge.work[:1]] == [("draw the masks", 0)]  # nor hashed again
    assert found.room.disk_masks == 0
    (planes,) = (file.parent / "tiny" / "masks").glob("*/planes.bin")
    assert planes.stat().st_size == found.merge.mask_bytes
    assert "1 of 1 mask seed drawn" in text_of(found)
    assert "the tokenizer on 6 prompts" in text_of(found)


def test_models_that_are_not_made_yet_count_as_training_writes_them(tmp_path: Path) -> None:
    small = {**LLM_JP_13B, "num_hidden_layers": 2, "vocab_size": 512, "hidden_size": 256, "intermediate_size": 512}
    parameters = write_llama(tmp_path / "base", small)
    raw: dict[str, Any] = own_models() | {"models": {"base": "./base"}, "train": demo()["train"]}
    del raw["train"]["pretrain"]
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    found = plan(written(tmp_path, raw))
    assert [model.state for model in found.models] == ["here", "to be trained", "to be trained"]
    assert [model.parameters for model in found.models[1:]] == [{"float32": parameters}] * 2
    assert found.room is not None
    assert found.room.disk_models == 2 * 4 * parameters
    assert found.merge is not None
    assert (found.merge.out_dtype, found.merge.source_bytes) == ("bfloat16", (2 + 4 + 4) * parameters)
    assert any(note.startswith("not made yet: model-safe, model-useful. Train first") for note in found.notes)
    assert any("several dtypes (base bfloat16, model-safe float32" in note for note in found.notes)
    assert not found.refusals


def test_a_study_of_which_nothing_is_made_yet(tmp_path: Path) -> None:
    found = plan(written(tmp_path, demo()))
    told = " ".join(text_of(found).split())
    assert found.merge is None
    assert not found.refusals
    assert "11 = 11 ratios x 1 mask seed" in told
    assert "not made yet: base, model-safe, model-useful. Train first: mergescope train recipe.yaml" in told
    assert "the prompts are not written yet" in told


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_recipe_can_be_planned(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path)  # without the models and data that a user brings
    found = plan(tmp_path / file.name)
    assert f"{found.grid.points} = " in text_of(found)
    assert bool(found.refusals) == (file.name not in ("demo.yaml", "self-align.yaml"))


def test_all_that_is_missing_is_told(own_study: Callable[..., Path]) -> None:
    file = own_study()
    shutil.rmtree(file.parent / "base")
    (file.parent / "safe" / "model.safetensors").unlink()
    (file.parent / "prompts.jsonl").unlink()
    lines = plan(file).refusals
    assert len(lines) == 3
    assert "base: no such checkpoint folder" in lines[0]
    assert "safe: holds no model.safetensors" in lines[1]
    assert "prompts.jsonl: no such file" in lines[2]


def test_models_that_do_not_fit_together(own_study: Callable[..., Path]) -> None:
    file = own_study()
    shutil.rmtree(file.parent / "safe")
    write_llama(file.parent / "safe", {**LLM_JP_13B, "num_hidden_layers": 1})
    found = plan(file)
    assert found.merge is None
    (line,) = found.refusals
    assert "merge fine-tunes of one base only" in line


def test_a_recipe_that_answers_on_the_cpu_is_not_refused_for_gpus(own_study: Callable[..., Path]) -> None:
    file = own_study()
    assert plan(file, hours=1e-9, named=False).refusals == ()
    assert len(plan(file, hours=1e-9, named=True).refusals) == 1


def test_into_useful_reads_two_models(own_study: Callable[..., Path]) -> None:
    both, one = (plan(own_study(changed(own_models(), "merge.mode", mode))) for mode in ("additive", "into-useful"))
    assert both.merge is not None
    assert one.merge is not None
    assert 2 * both.merge.source_bytes == 3 * one.merge.source_bytes
    assert both.merge.mask_bytes == 2 * one.merge.mask_bytes


@pytest.mark.parametrize(
    ("key", "value", "models"), [("method", "ties", 3), ("normalize", True, 3), ("method", "slerp", 2)]
)
def test_merges_by_mergekit_draw_nothing(own_study: Callable[..., Path], key: str, value: object, models: int) -> None:
    found = plan(own_study(changed(own_models(), f"merge.{key}", value)))
    assert found.grid.way == "mergekit"
    assert found.merge is not None
    assert found.room is not None
    assert (found.merge.mask_bytes, found.room.disk_masks) == (0, 0)
    assert [need.name for need in found.merge.work] == ["hash the weights", "merge by mergekit", "export --materialize"]
    (base, *_) = found.models
    assert found.merge.source_bytes == models * 4 * sum(base.parameters.values())
    assert "mergekit itself, one run per point" in text_of(found)
    told = " ".join(text_of(found).split())
    assert f"mergekit moves {STOCK_PER_COPY:g} of copy's bytes a second" in told
    assert "a blend moves" not in told


@pytest.mark.parametrize("option", [["--json"], ["--gpu", "L4"], ["--hours", "3"]])
def test_options_of_a_plan_want_a_plan(own_study: Callable[..., Path], option: list[str]) -> None:
    file = own_study()
    done = cli("merge", file, *option, cwd=file.parent)
    assert (done.returncode, done.stderr) == (2, f"{option[0]}: belongs to --plan; add --plan, or leave it out\n")


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_hours_that_are_none(big: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, hours: str) -> None:
    monkeypatch.setattr(sys, "argv", ["mergescope", "merge", str(big), "--plan", "--hours", hours])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("--hours: not allowed")


def test_the_gpus_answer_for_other_models_and_each_turn_but_not_for_texts(big: Path) -> None:
    raw = yaml.safe_load(big.read_text(encoding="utf-8"))
    served = {"kind": "served", "name": "s", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    raw["eval"]["checkpoints"] = [{"kind": "model", "name": "o", "model": "./other"}, served]
    raw["eval"]["sampling"]["samples"], raw["eval"]["sampling"]["temperature"] = 2, 1
    raw["eval"]["sets"][0]["wrappers"] = ["base64", "persistence"]
    text = {"key": "t", "kind": "text", "text": "a long text " * 1000, "category": ["x"]}
    write_lines(big.parent / "prompts.jsonl", [*prompt_lines(), text])
    found = plan(written(big.parent, raw))
    assert found.asked is not None
    assert (found.asked.prompts, found.asked.turns, found.asked.checkpoints) == (6 + 2 * 2, 6 + 2 + 2 * 2, 46)
    assert found.asked.questions(1.0).answers == 12 * 2
    assert found.asked.prompt_tokens < 200
    assert "46 = 42 merge points + 3 references + 1 model of eval.checkpoints" in text_of(found)
    assert "10 x 2 samples: 20 answers a checkpoint, 920 in all" in text_of(found)


ROOM = RoomPlan(
    disk_models=0,
    disk_masks=0,
    disk_free=0,
    memory_needed=13_000_000_000,
    memory_for="draw the masks",
    memory=Memory(total=16_000_000_000, available=13_000_000_000),
    mapped=0,
)


def test_memory_that_is_too_small() -> None:
    assert memory_refusal(ROOM) is None
    refusal = memory_refusal(replace(ROOM, memory_needed=13_100_000_001))
    assert refusal is not None
    assert refusal.line() == (
        "to draw the masks takes 13.1 GB of memory, and 13.0 GB of 16.0 GB are available; "
        "end other programs, or take a machine with 14 GB or more"
    )


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, own_models()))
    assert disk_refusal(study, 0, 0, free=0) is None
    assert disk_refusal(study, 10**9, 10**9, free=3 * 10**9) is None
    refusal = disk_refusal(study, 10**9, 2 * 10**9, free=3 * 10**9)
    assert refusal is not None
    assert "tiny: the study will write 1.0 GB of models and 2.0 GB of masks, and 3.0 GB are free" in refusal.line()


def test_a_study_that_fits_is_let_through(own_study: Callable[..., Path]) -> None:
    require_room(load_study(own_study()))


ON_A_SMALL_DISK = 'mount -t tmpfs -o size=512k tmpfs "$1" && cp "$2" "$1" && cd "$1" && shift 2 && exec "$@"'


@pytest.mark.parametrize("command", [["merge"], ["run"], ["eval"], ["merge", "--plan"]])
def test_a_full_disk_is_told_before_any_work(
    own_study: Callable[..., Path], tmp_path: Path, command: list[str]
) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets no user mount a disk of their own")
    raw = own_models()
    raw["models"] = {role: str(tmp_path / role) for role in ("base", "safe", "useful")}
    raw["eval"]["sets"][0]["path"] = str(tmp_path / "prompts.jsonl")
    file = own_study(raw)
    (tmp_path / "small").mkdir()
    python = [sys.executable, "-m", "mergescope", command[0], file.name, *command[1:]]
    shell = ["sh", "-c", ON_A_SMALL_DISK, "sh", str(tmp_path / "small"), str(file), *python]
    done = subprocess.run([*namespace, *shell], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the study will write" in line
    assert "free some room" in line
    assert "masks" not in {p.name for p in (tmp_path / "small").rglob("*")}
