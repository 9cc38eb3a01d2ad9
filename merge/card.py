"""The bundle's README.md: a model card that says what the merge is, what it rests on, and what it does not show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from merge.front_matter import HEADLINE, SPLITS, UNKNOWN, front_matter, title
from merge.gates import NOT_FOR_RELEASE
from merge.inert import code, markdown
from merge.points import MergePoint, Role

NAMES: Mapping[Role, str] = {"base": "base", "safe": "model-safe", "useful": "model-useful"}
UNSAID = "not stated"
"""The card's one word for what nobody told."""
PARTS: Mapping[str, Sequence[str]] = {"usefulness": ("fluency", "accuracy", "detail", "relevance")}
"""Metrics that are the mean of others: where one has no number, the card names the parts that it misses."""
LINKS = {"manifest": "manifest.json", "scores": "scores.json", "script": "reproduce.sh"}
Place = Literal["bundle", "bundle with checkpoint", "checkpoint"]
"""Where a card lies: beside the script, without or with the folder of weights; or in that folder."""


def model_card(
    point: MergePoint, manifest: Mapping[str, Any], scores: Mapping[str, Any], config: str, place: Place = "bundle"
) -> str:
    """The card's text. manifest: the bundle's, without its hashes of files. scores: `scores.json`. config: the YAML."""
    parts = [
        f"---\n{front_matter(point, manifest, scores)}---\n",
        f"# {markdown(title(point, scores))}\n",
        *(f"> **{markdown(text, 2000)}**\n" for text in _banners(manifest)),
        _what(point, manifest),
        "## Numbers\n",
        *_numbers(scores),
        _choice(manifest["choice"]),
        _limits(manifest, scores),
        _data(manifest["provenance"]),
        _how(point, manifest, config),
        _rebuild(manifest, place),
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


def _what(point: MergePoint, manifest: Mapping[str, Any]) -> str:
    return f"""A merge of two fine-tunes of one base: **model-safe**, which refuses and warns, and **model-useful**,
which answers. The ratio r = {point.ratio} is the weight of model-safe. It was made with Mergescope, by mergekit's
method `{point.method}`; its id is `{manifest["merge_id"]}`.
"""


def _how(point: MergePoint, manifest: Mapping[str, Any], config: str) -> str:
    rows = [[NAMES[role], _model(entry), f"`{entry['weights_sha256']}`"] for role, entry in manifest["inputs"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    threads = "1 thread" if manifest["threads"] == 1 else f"{manifest['threads']} threads"
    fence = _fence(config)
    return f"""## How it was made

{_table(["role", "model", "hash of the weights"], rows)}
{_formulae(point)}
Made with mask seed {manifest["seed"]}, {threads} and CPU kernel level {manifest["kernel_level"]}, in float32
arithmetic, stored as {manifest["out_dtype"]}; {versions}.

{fence}yaml
{config}{fence}
"""


def _model(entry: Mapping[str, Any]) -> str:
    """One input as the table names it; an adapter's with the two that it was merged from."""
    name = f"`{code(entry['hub'] or entry['name'])}`"
    if (pair := entry.get("adapter")) is None:
        return name
    return f"{name} = base + adapter: `{code(pair['base'])}` + `{code(pair['adapter'])}`"


def _fence(text: str) -> str:
    """A code fence that nothing in the text closes: a chat template may hold fences of its own."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


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
    ancestor = "the base" if point.base_role == "base" else NAMES[point.base_role]
    normal = " The sum is divided by the weights that took part (normalize)." if point.normalize else ""
    return f"""For each tensor, with theta_0 {ancestor} and d = fine-tune - theta_0: DARE keeps each entry
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
        yield from _of_judge(judge, scores["metrics"])
    if scores["judges"]:
        yield f"The other metrics, and the unrounded numbers, are in the bundle's `{LINKS['scores']}`.\n"
    if scores["prompt_sets"]:
        rows = [
            [markdown(one["name"]), str(one["items"]), f"`{code(one['sha256'])}`", _said(one["licence"])]
            for one in scores["prompt_sets"]
        ]
        yield _table(["prompt set", "prompts", "sha256", "licence"], rows)


def _of_judge(judge: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    point: Mapping[str, Any] | None = next((c["splits"] for c in judge["checkpoints"] if c["role"] == "point"), None)
    if point is None:
        yield "This judge has no scores of this point.\n"
    else:
        yield "Rules pick on `select`; `confirm` is what picking never saw. In brackets the 95 % interval.\n"
        if rows := list(_rows(point, SPLITS, metrics)):
            yield _table(["metric", "better", *SPLITS], rows)
        yield from (f"{note}\n" for note in _absent(point))
    columns = {_called(c): c["splits"].get("all", {}) for c in judge["checkpoints"]}
    if len(columns) > 1:
        yield "Beside the references and the ends of the curve, on all prompts:\n"
        yield _table(["metric", "better", *columns], list(_rows(columns, tuple(columns), metrics, counts=False)))


def _called(checkpoint: Mapping[str, Any]) -> str:
    role, label = checkpoint["role"], markdown(checkpoint["label"], 60)
    return {"point": "this merge", "end": f"end {label}"}.get(role, label)


def _rows(
    columns: Mapping[str, Mapping[str, Any]], order: Sequence[str], metrics: Mapping[str, Any], *, counts: bool = True
) -> Iterator[list[str]]:
    """The headline metrics that have a number in any column."""
    for name in HEADLINE:
        cells = [columns.get(column, {}).get(name) for column in order]
        if any(found is not None and found["value"] is not None for found in cells):
            yield [name.replace("_", " "), _direction(metrics[name]), *(_estimate(found, counts) for found in cells)]


def _direction(metric: Mapping[str, Any]) -> str:
    """Which way is better, and from where to where the metric goes."""
    arrow = "↑ higher" if metric["higher_is_better"] else "↓ lower"
    return f"{arrow}, {metric['lowest']:g} to {metric['highest']:g}"


def _absent(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A sentence on each headline metric that has no number of the point: why, as far as the numbers tell."""
    for name in HEADLINE:
        found = [splits.get(split, {}).get(name) for split in SPLITS]
        if any(one is not None and one["value"] is not None for one in found):
            continue
        lacking = [part for part in PARTS.get(name, ()) if not _has_number(splits, part)]
        notes = dict.fromkeys(one["note"] for one in found if one is not None and one["note"])
        why = f"the judge gave no score for {', '.join(lacking)}" if lacking else markdown("; ".join(notes), 200)
        yield f"No number for {name.replace('_', ' ')}{f': {why}' if why else ''}."


def _has_number(splits: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(estimates.get(name, {}).get("value") is not None for estimates in splits.values())


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
        lines.append("Judges marked `not calibrated` were not compared with human labels, or by too few to tell.")
    if any(judge["trust"] == "not trusted" for judge in scores["judges"]):
        lines.append("Judges marked `not trusted` agree less with human labels than string matching does.")
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _said(text: str | None, limit: int = 500) -> str:
    """Somebody's words, or the card's word for none."""
    return UNSAID if text in (None, "", UNKNOWN) else markdown(text, limit)


def _choice(choice: Mapping[str, Any]) -> str:
    rows = [[name, _said(choice[name], 2000)] for name in ("rule", "by", "when", "note")]
    return f"## Who chose it, and why\n\n{_table(['', ''], rows)}"


def _data(provenance: Mapping[str, Any]) -> str:
    models = [
        [NAMES[role], *(_said(text) for text in (entry["source"], entry["licence"], ", ".join(entry["made_by"])))]
        for role, entry in provenance["models"].items()
    ]
    rows = [
        [NAMES[role], str(row["triples"]), *(_said(row[key]) for key in ("source", "licence", "made_by"))]
        for role, counted in provenance["training_data"].items()
        for row in counted
    ]
    text = "## Data and licences\n\n"
    text += f"Licence of the merge: {_said(provenance['licence'])}. As the recipe says:\n\n"
    text += _table(["model", "source", "licence", "training data made by"], models)
    if rows:
        text += "\nTriples that the study trained on:\n\n"
        text += _table(["model", "triples", "source", "licence", "made by"], rows)
    return text + "".join(f"\n{markdown(note)}\n" for note in provenance["notes"])


def _rebuild(manifest: Mapping[str, Any], place: Place) -> str:
    where = "" if place != "checkpoint" else "The files named here lie in the bundle, beside this folder.\n"
    serves = "`Dockerfile` serves the checkpoint with vLLM, without network."
    if place == "bundle":
        serves = "The weights are not in this bundle; `Dockerfile` serves them with vLLM once they are rebuilt."
    stock = f"stock mergekit {manifest['versions']['mergekit']}"
    return f"""## Rebuild and check

{where}`sh {LINKS["script"]}` rebuilds the checkpoint with {stock}, bit for bit.
`mergescope verify BUNDLE` rebuilds it too and compares the sha256 of every tensor with `{LINKS["manifest"]}`.
`{LINKS["scores"]}` holds every number above and more. {serves}
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
