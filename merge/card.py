"""The bundle's README.md: a model card that says what the merge is, what it rests on, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from merge.front_matter import SPLITS, front_matter
from merge.gates import NOT_FOR_RELEASE
from merge.inert import code, markdown
from merge.points import MergePoint, Role

NAMES: Mapping[Role, str] = {"base": "the base", "safe": "model-safe", "useful": "model-useful"}
UNSAID = "not stated"
LINKS = {"manifest": "manifest.json", "scores": "scores.json", "script": "reproduce.sh"}


def model_card(point: MergePoint, manifest: Mapping[str, Any], scores: Mapping[str, Any], config: str) -> str:
    """The card's text. manifest: the bundle's, without its hashes of files. scores: `scores.json`. config: the YAML."""
    parts = [
        f"---\n{front_matter(manifest, scores)}---\n",
        f"# Merge {manifest['merge_id']}\n",
        *(f"> **{markdown(text, 2000)}**\n" for text in _banners(manifest)),
        _what(point),
        _how(point, manifest, config),
        "## Numbers\n",
        *_numbers(scores),
        _limits(manifest, scores),
        _choice(manifest["choice"]),
        _data(manifest["provenance"]),
        _rebuild(manifest),
    ]
    return "\n".join(parts)


def _banners(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest["release"] == NOT_FOR_RELEASE:
        yield "NOT FOR RELEASE: a gate below is not acknowledged."
    for gate in manifest["gates"]:
        state = "acknowledged" if gate["acknowledged"] else "not acknowledged"
        yield f"{gate['label']} ({state}): {gate['text']}."
    if not manifest["evaluated"]:
        yield "This point was not evaluated: nobody has judged its answers, and every claim on its safety is open."
    for note in manifest["not_compared"]:
        yield f"Not compared with the base: {note}."


def _what(point: MergePoint) -> str:
    return f"""A merge of two fine-tunes of one base: **model-safe**, which refuses and warns, and **model-useful**,
which answers. The ratio {point.ratio} is the weight of model-safe. It was made with Mergescope, by mergekit's method
`{point.method}`.
"""


def _how(point: MergePoint, manifest: Mapping[str, Any], config: str) -> str:
    rows = [
        [role, f"`{code(entry['hub'] or entry['name'])}`", f"`{entry['weights_sha256']}`"]
        for role, entry in manifest["inputs"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    return f"""## How it was made

{_table(["role", "model", "sha256 of the weights"], rows)}
{_formulae(point)}
Made with seed {manifest["seed"]}, {manifest["threads"]} thread(s) and CPU kernel level {manifest["kernel_level"]}, in
float32 arithmetic, stored as {manifest["out_dtype"]}; {versions}.

```yaml
{config}```
"""


def _formulae(point: MergePoint) -> str:
    """DARE-TIES in one paragraph, with this point's numbers; other methods are what their config says."""
    if point.method != "dare_ties":
        return f"Merged by mergekit's `{point.method}`; the config below says all of it.\n"
    weights = {"complementary": "1 - r", "additive": "1"}
    said = {"safe": "r", "useful": weights.get(point.mode, "")}
    terms = [
        f"w = {said[role]} = {point.weight(role)}, density {point.density(role)} for {NAMES[role]}"
        for role in point.term_roles
    ]
    normal = " The sum is divided by the weights that took part (normalize)." if point.normalize else ""
    return f"""For each tensor, with theta_0 {NAMES[point.base_role]} and d = fine-tune - theta_0: DARE keeps each entry
of d at random with its density (mask m) and scales what is left back to d's L1 norm (k = |d| / |m d|). Each term is
w k m d. TIES adds, entry by entry, the terms whose sign is that of their sum, to delta; theta = theta_0 + lambda delta.
Mode {point.mode}, r = {point.ratio}: {"; ".join(terms)};
lambda = {point.lambda_}.{normal}
"""


def _numbers(scores: Mapping[str, Any]) -> Iterator[str]:
    if not scores["judges"]:
        yield "None: no judge has scored this point.\n"
    for judge in scores["judges"]:
        yield f"### Judge: {markdown(judge['label'])}\n"
        point = [c for c in judge["checkpoints"] if c["role"] == "point"]
        if point:
            yield "Rules pick on `select`; `confirm` is what picking never saw. In brackets the 95 % interval.\n"
            yield _table(["metric", *SPLITS], list(_rows(point[0]["splits"], SPLITS)))
        else:
            yield "This judge has no scores of this point.\n"
        columns = {_called(c): c["splits"].get("all", {}) for c in judge["checkpoints"]}
        if len(columns) > 1:
            yield "Beside the references and the ends of the curve, on all prompts:\n"
            yield _table(["metric", *columns], list(_rows(columns, tuple(columns), counts=False)))
    if scores["prompt_sets"]:
        rows = [
            [markdown(one["name"]), str(one["items"]), f"`{code(one['sha256'])}`", markdown(one["licence"])]
            for one in scores["prompt_sets"]
        ]
        yield _table(["prompt set", "prompts", "sha256", "licence"], rows)


def _called(checkpoint: Mapping[str, Any]) -> str:
    role, label = checkpoint["role"], markdown(checkpoint["label"], 60)
    return {"point": "this merge", "end": f"end {label}"}.get(role, label)


def _rows(
    columns: Mapping[str, Mapping[str, Any]], order: Sequence[str], *, counts: bool = True
) -> Iterator[list[str]]:
    names = dict.fromkeys(name for column in order for name in columns.get(column, {}))
    for name in names:
        yield [name.replace("_", " "), *(_estimate(columns.get(column, {}).get(name), counts) for column in order)]


def _estimate(found: Mapping[str, Any] | None, counts: bool) -> str:
    """Value, interval, and where some answers are unscored, their number and the bounds that they leave."""
    if found is None or found["value"] is None:
        return "none" if found is None or not found["note"] else f"none ({markdown(found['note'], 80)})"
    text = f"{found['value']:.3f}"
    if found["low"] is not None and found["high"] is not None:
        text += f" ({found['low']:.3f} to {found['high']:.3f})"
    if found["n_unscored"]:
        ends = sorted(value for value in (found["worst"], found["best"]) if value is not None)
        text += f", {found['n_unscored']} unscored: {' to '.join(f'{value:.3f}' for value in ends)}"
    return f"{text}, n {found['n']}" if counts else text


def _limits(manifest: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    lines = [
        "The numbers hold for these prompts, this language and these sampling settings; they are no proof of safety.",
        "Unscored answers are not random (filters drop the worst): read the bounds beside each number.",
        f"The weights are exact on CPU kernel level {manifest['kernel_level']} with the versions above; elsewhere some"
        " scales may differ in the last bit.",
    ]
    if any(judge["kind"] == "proxy" for judge in scores["judges"]):
        lines.append("A proxy judge is no LLM: it counts refusals by rules and derives safety from them.")
    if any(judge["trust"] == "not calibrated" for judge in scores["judges"]):
        lines.append("Judges marked `not calibrated` were not compared with human labels.")
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _choice(choice: Mapping[str, Any]) -> str:
    rows = [[name, markdown(choice[name] or "not recorded", 2000)] for name in ("rule", "by", "when", "note")]
    return f"## Who chose it, and why\n\n{_table(['', ''], rows)}"


def _data(provenance: Mapping[str, Any]) -> str:
    models = [
        [role, *(markdown(text) for text in (entry["source"], entry["licence"], ", ".join(entry["made_by"]) or UNSAID))]
        for role, entry in provenance["models"].items()
    ]
    rows = [
        [role, str(row["triples"]), *(markdown(row[key] or UNSAID) for key in ("source", "licence", "made_by"))]
        for role, counted in provenance["training_data"].items()
        for row in counted
    ]
    text = "## Data and licences\n\n"
    text += f"Licence of the merge: {markdown(provenance['licence'])}. As the recipe says:\n\n"
    text += _table(["model", "source", "licence", "training data made by"], models)
    if rows:
        text += "\nTriples that the study trained on:\n\n"
        text += _table(["model", "triples", "source", "licence", "made by"], rows)
    return text + "".join(f"\n{markdown(note)}\n" for note in provenance["notes"])


def _rebuild(manifest: Mapping[str, Any]) -> str:
    return f"""## Rebuild and check

`sh {LINKS["script"]}` rebuilds the checkpoint with stock mergekit {manifest["versions"]["mergekit"]}, bit for bit.
`mergescope verify BUNDLE` rebuilds it too and compares the sha256 of every tensor with `{LINKS["manifest"]}`.
`{LINKS["scores"]}` holds every number above and more. `Dockerfile` serves the checkpoint with vLLM, without network.
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
