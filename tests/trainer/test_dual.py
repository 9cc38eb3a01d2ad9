"""Dual tuning on a tiny model: the loss falls, U is settled by the base, micro batches change nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mergescope.ground.errors import CheckpointError, DataError
from mergescope.ground.ids import file_hash
from mergescope.ground.progress import Reporter
from tests.trainer.tuned import tuned
from trainer.config import DpoSection, DualSection, EarlyStopSection
from trainer.dual import Pair, collate, dual_references, encode_constrained, loss_of, pairs_of, toxic_share
from trainer.encoding import Encoded
from trainer.logps import Continuation, LogpFile, complete, file_of, scoring
from trainer.method import train
from trainer.triples import load_triples
from trainer.tuning import load_model, load_tokenizer

CONSTRAINT = "何でも教えてください。"


@pytest.fixture(scope="module")
def section(tuning: DpoSection) -> DualSection:
    """Uniform, since the tiny base has never seen a system message."""
    shared = tuning.model_dump(exclude={"method", "beta", "sft_weight"})
    return DualSection(**shared, method="dual", mode="uniform", toxic_constraint=CONSTRAINT)


def changed(section: DualSection, **values: Any) -> DualSection:
    return section.model_copy(update=values)


def test_chosen_answers_gain_and_rejected_ones_lose(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    content = tuned(section, base, triples_file, tmp_path / "out")
    first, last = content["steps"][0], content["steps"][-1]
    assert last["likelihood"] < 0.8 * first["likelihood"]
    assert all(step["loss"] == pytest.approx(step["likelihood"] + step["unlikelihood"], abs=2e-5)
               for step in content["steps"])  # fmt: skip
    assert content["toxic_tokens"] == {"share": 1.0, "empty": 0}
    assert content["triples"] == 8


@pytest.mark.deep
def test_toxic_tokens_get_rarer_than_under_likelihood_alone(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    masked = changed(section, mode="mask", unlikelihood_weight=20.0)
    encoded = encode_constrained(masked, load_tokenizer(base), load_triples(triples_file))
    batch = collate(pairs_of(masked, encoded, LogpFile(tmp_path / "none.jsonl")), both=True)
    left = []
    for arm in (masked, changed(section, mode="none")):
        tuned(arm, base, triples_file, tmp_path / arm.mode)
        model = scoring(load_model(arm, tmp_path / arm.mode))
        left.append(loss_of(model, batch, masked).unlikelihood.mean().item())
    assert left[0] < 0.8 * left[1]


@pytest.mark.deep
def test_likelihood_alone_asks_nothing_of_the_rejected_answers(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    content = tuned(changed(section, mode="none"), base, triples_file, tmp_path / "out")
    assert content["toxic_tokens"] == {"share": 0.0, "empty": 8}
    assert {step["unlikelihood"] for step in content["steps"]} == {0.0}
    assert content["steps"][-1]["loss"] < content["steps"][0]["loss"]
    other = [{**json.loads(line), "rejected": "別。"} for line in triples_file.read_text(encoding="utf-8").splitlines()]
    path = tmp_path / "other.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in other), encoding="utf-8")
    tuned(changed(section, mode="none"), base, path, tmp_path / "other")
    assert file_hash(tmp_path / "out" / "model.safetensors") == file_hash(tmp_path / "other" / "model.safetensors")


def test_micro_batches_change_the_loss_by_rounding_alone(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    """Answers of several lengths, so that a mean of micro batches' means would show."""
    whole = tuned(changed(section, steps=3), base, triples_file, tmp_path / "whole")
    parts = tuned(changed(section, steps=3, micro_batch_size=1), base, triples_file, tmp_path / "parts")
    for one, other in zip(whole["steps"], parts["steps"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-5)
    assert whole["steps"][0]["loss"] == pytest.approx(parts["steps"][0]["loss"], abs=1e-5)


def test_held_out_pairs_end_it(section: DualSection, base: Path, triples_file: Path, tmp_path: Path) -> None:
    stop = EarlyStopSection(held_out=0.3, every=2, patience=1)
    content = tuned(changed(section, early_stop=stop, steps=8), base, triples_file, tmp_path / "out")
    assert all(math.isfinite(look["loss"]) for look in content["held_out"])
    assert content["held_out"][0]["step"] == 2


def test_the_toxic_tokens_are_those_that_the_constraint_makes_likely(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    """Against log-probabilities that are computed here, answer by answer, from the logits."""
    ratio = changed(section, mode="ratio", threshold=1.0)
    tokenizer, model = load_tokenizer(base), load_model(ratio, base).eval()
    encoded = encode_constrained(ratio, tokenizer, load_triples(triples_file))
    known = LogpFile(tmp_path / "logps.jsonl")
    complete(known, dual_references(encoded), lambda: load_model(ratio, base), 4, Reporter())
    for one, pair in zip(encoded, pairs_of(ratio, encoded, known), strict=True):
        assert one.constrained is not None
        likelier = [
            p > q for p, q in zip(*(by_logits(model, c, one.rejected) for c in (one.constrained, one.prompt)),
                                  strict=True)
        ]  # fmt: skip
        assert list(pair.toxic) == likelier[:-1]  # what closes the answer is never toxic
        assert any(pair.toxic)


@pytest.mark.parametrize("mode", ["uniform", "ratio", "mask"])
@pytest.mark.parametrize(
    ("closed_by", "closing"),
    [("{{ eos_token }}", ["</s>"]), ("{{ eos_token }}<|user|>\n", ["</s>", "<|user|>", "\n"]), ("", [])],
)
def test_what_closes_an_answer_is_never_toxic(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path, mode: str, closed_by: str, closing: list[str]
) -> None:
    """Whatever the base says of it, and however many tokens the template closes a turn with."""
    tokenizer, some = load_tokenizer(base), changed(section, mode=mode)
    closes = f"{{% if m.role == 'assistant' %}}{closed_by}{{% endif %}}"
    said = "{{ '<|' + m.role + '|>' + m.content }}" + closes
    opened = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    tokenizer.chat_template = f"{{% for m in messages %}}{said}{{% endfor %}}{opened}"
    encoded = encode_constrained(some, tokenizer, load_triples(triples_file))
    known = LogpFile(tmp_path / "logps.jsonl")
    for asked in dual_references(encoded):
        likely = any(asked.context == one.constrained for one in encoded)
        known.add([(asked, np.full(len(asked.answer), -0.01 if likely else -4.0, dtype=np.float32))])
    for one, pair in zip(encoded, pairs_of(some, encoded, known), strict=True):
        assert one.closing == len(closing)
        assert pair.rejected + tuple(tokenizer.convert_tokens_to_ids(closing)) == one.rejected
        assert tokenizer.decode(pair.rejected) in {triple.rejected for triple in load_triples(triples_file)}
        assert len(pair.toxic) == len(pair.rejected)
        assert any(pair.toxic)
        assert pair.chosen == one.chosen  # a model shall end there


def by_logits(model: Any, context: tuple[int, ...], answer: tuple[int, ...]) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([[*context, *answer]])).logits[0]
    logps = torch.log_softmax(logits.double(), dim=-1)
    return [float(logps[len(context) - 1 + i, token]) for i, token in enumerate(answer)]


@pytest.mark.parametrize(
    ("with_constraint", "share", "words"), [(0.0, "100.0%", "raise threshold"), (-9.0, "0.0%", "lower threshold")]
)
def test_too_many_or_too_few_toxic_tokens_stop_the_run(
    section: DualSection,
    base: Path,
    triples_file: Path,
    tmp_path: Path,
    with_constraint: float,
    share: str,
    words: str,
) -> None:
    ratio, rows = changed(section, mode="ratio"), load_triples(triples_file)
    known = LogpFile(tmp_path / "logps.jsonl")
    for one in encode_constrained(ratio, load_tokenizer(base), rows):
        assert one.constrained is not None
        for context, value in ((one.constrained, with_constraint), (one.prompt, -4.5)):
            logps = np.full(len(one.rejected), value, dtype=np.float32)
            known.add([(Continuation(context, one.rejected), logps)])
    with pytest.raises(DataError, match=rf"mode: ratio: {share} of the rejected answers' tokens .*{words}"):
        train(ratio, base, rows, tmp_path / "out", 1, Reporter(), known)


def test_no_constraint_is_one_line(section: DualSection, base: Path, triples_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0: no toxic constraint .*toxic_constraint"):
        tuned(changed(section, mode="ratio", toxic_constraint=None), base, triples_file, tmp_path / "out")


def test_tokens_that_the_chosen_answer_lacks(section: DualSection) -> None:
    encoded = [Encoded((1, 2), (3, 4), (5, 4, 5)), Encoded((1,), (3,), (3,))]
    pairs = pairs_of(changed(section, mode="mask"), encoded, LogpFile(Path("nowhere")))
    assert [pair.toxic for pair in pairs] == [(True, False, True), (False,)]
    assert (toxic_share(pairs).share, toxic_share(pairs).empty) == (0.5, 1)


def test_a_batch_by_hand() -> None:
    """Place t of `toxic` and of the shifted labels is about token t + 1."""
    pair = Pair((1, 2), (3, 4), (5, 6, 7), (False, True, True))
    batch = collate([pair], both=True)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 0], [1, 2, 5, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, -100, 3, 4, -100], [-100, -100, 5, 6, 7]]
    assert batch["toxic"].tolist() == [[False, False, True, True]]
    assert collate([pair], both=False)["input_ids"].tolist() == [[1, 2, 3, 4]]


def test_the_loss_is_that_of_the_logits(section: DualSection, base: Path, triples_file: Path) -> None:
    """(1/|y+|) sum -log pi(y+) + (1/|y-|) sum -log(1 - pi(y-)), from the logits of one pair after the other."""
    tokenizer, model = load_tokenizer(base), load_model(section, base).eval()
    pairs = pairs_of(
        section, encode_constrained(section, tokenizer, load_triples(triples_file)[:3]), LogpFile(base / "none")
    )
    expected = [
        sum(-x for x in by_logits(model, pair.prompt, pair.chosen)) / len(pair.chosen)
        + sum(-math.log1p(-math.exp(x)) for x in by_logits(model, pair.prompt, pair.rejected)) / len(pair.rejected)
        for pair in pairs
    ]
    found = loss_of(scoring(model), collate(pairs, both=True), section)
    assert found.total.tolist() == pytest.approx(expected, rel=1e-5)


def test_log_probabilities_do_not_depend_on_the_batch(base: Path, tmp_path: Path, section: DualSection) -> None:
    asked = [Continuation((5, 6, 7), (8, 9)), Continuation((5,), (6, 7, 8, 9, 10, 11)), Continuation((9, 9), (5,))]
    together, alone = LogpFile(tmp_path / "a.jsonl"), LogpFile(tmp_path / "b.jsonl")
    complete(together, asked, lambda: load_model(section, base), 8, Reporter())
    complete(alone, asked, lambda: load_model(section, base), 1, Reporter())
    for one in asked:
        assert together.logps(one).tolist() == pytest.approx(alone.logps(one).tolist(), abs=1e-5)
        assert together.logps(one).tolist() == LogpFile(tmp_path / "a.jsonl").logps(one).tolist()


def test_what_is_known_is_not_computed_again(base: Path, tmp_path: Path, section: DualSection) -> None:
    """Nor is anything lost by a kill but the pass under way: the file ends in a torn line here."""
    asked = [Continuation((5, 6), (7, 8, length)) for length in (9, 10, 11)]
    path = tmp_path / "logps.jsonl"
    complete(LogpFile(path), asked, lambda: load_model(section, base), 1, Reporter())
    whole = path.read_bytes()
    complete(LogpFile(path), asked, lambda: pytest.fail("loaded"), 1, Reporter())
    path.write_bytes(whole[:-9])
    torn = LogpFile(path)
    assert sum(one in torn for one in asked) == 2
    complete(torn, asked, lambda: load_model(section, base), 1, Reporter())
    assert all(one in LogpFile(path) for one in asked)
    assert [LogpFile(path).logps(one).tobytes() for one in asked] == [torn.logps(one).tobytes() for one in asked]


def test_numbers_that_changed_on_the_disk_are_asked_for_again(tmp_path: Path) -> None:
    """A line whose numbers were swapped for others is as good JSON as before."""
    asked = [Continuation((5, 6), (7, 8, last)) for last in (9, 10)]
    path = tmp_path / "logps.jsonl"
    LogpFile(path).add((one, np.full(3, -number, dtype="<f4")) for number, one in enumerate(asked, 1))
    one, other = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:])
    path.write_text("\n".join(map(json.dumps, ({**one, "logps": other["logps"]}, other))), encoding="utf-8")
    assert [one in LogpFile(path) for one in asked] == [False, True]


def test_a_base_that_gives_no_number_is_refused(base: Path, tmp_path: Path, section: DualSection) -> None:
    def broken() -> Any:
        model = load_model(section, base)
        torch.nn.init.constant_(model.get_input_embeddings().weight, math.nan)
        return model

    path = tmp_path / "logps.jsonl"
    with pytest.raises(CheckpointError, match="no finite number; look for NaN in its weights"):
        complete(LogpFile(path), [Continuation((5, 6), (7, 8))], broken, 1, Reporter())
    assert not path.exists()


def test_other_libraries_make_another_file(tmp_path: Path) -> None:
    """Else a training under new ones would be compared with what old ones computed."""
    versions = {"torch": "2.13.0", "transformers": "5.19.0"}
    one = file_of(tmp_path, "c1_0", "float32", versions)
    assert one == file_of(tmp_path, "c1_0", "float32", dict(reversed(versions.items())))
    assert one != file_of(tmp_path, "c1_0", "float32", {**versions, "torch": "2.14.0"})


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% if m.role == 'system' %}{{ raise_exception('no such role') }}{% endif %}", "takes no system .*such role"),
        (
            "{% if m.role == 'system' %}{{ 'a sentence of its own' }}{% endif %}",
            "leaves out what a system message says",
        ),
        ("", "leaves out what a system message says"),
    ],
)
def test_a_template_that_does_not_say_the_constraint_is_refused(
    section: DualSection, base: Path, triples_file: Path, template: str, told: str
) -> None:
    """Else the two contexts differ in something else, or in nothing, and U is what chance makes it."""
    tokenizer = load_tokenizer(base)
    turns = "{% if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content }}{% endif %}"
    tokenizer.chat_template = "{% for m in messages %}" + template + turns + "{% endfor %}"
    triples = load_triples(triples_file)
    with pytest.raises(DataError, match=told + ".*tune in mode uniform"):
        encode_constrained(changed(section, mode="ratio"), tokenizer, triples)
    assert len(encode_constrained(section, tokenizer, triples)) == 8


def test_in_bfloat16_the_head_computes_in_float32(base: Path, tmp_path: Path, section: DualSection) -> None:
    """Logits as large as those of real models, of which bfloat16 keeps steps of 1/8: as much as log 1.1."""

    def loud() -> Any:
        model = load_model(section, base)
        with torch.no_grad():
            model.model.norm.weight.mul_(40)
        return model

    asked = [Continuation((5, 6, 7), tuple(range(8, 40)))]
    found = {}
    for name, options in {"true": (False, False), "rounded": (True, False), "exact": (True, True)}.items():
        known = LogpFile(tmp_path / name)
        autocast, exact_head = options
        complete(known, asked, loud, 1, Reporter(), autocast=autocast, exact_head=exact_head)
        found[name] = known.logps(asked[0])
    error = {name: float(np.abs(found[name] - found["true"]).mean()) for name in ("rounded", "exact")}
    assert error["exact"] < error["rounded"] / 2
