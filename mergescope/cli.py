"""The command line: one command per stage. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergescope.data_commands import data_app
from mergescope.environment import share_cores, without_telemetry
from mergescope.ground.errors import MergescopeError

if TYPE_CHECKING:
    from mergescope.spending import BudgetLimit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich would cost a third of the start-up
    help="Pick the final checkpoint of a safety-tuned LLM: train, merge, judge, and choose on the frontier.",
)

judge_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Say how far a study's judges can be trusted."
)
app.add_typer(judge_app, name="judge")
app.add_typer(data_app, name="data")

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Recipe of the study, such as studies/demo.yaml.")]
Store = Annotated[Path, typer.Option("--store", envvar="MERGESCOPE_STORE", help="Results file.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Send prompts and answers to the recipe's hosts without being asked first.")
]
Amount = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="What judges and self-alignment may spend in this run, in the currency of `price`; no limit if left out.",
    ),
]
Tokens = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="The same in tokens, for servers whose price is not known.")
]
Rule = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="What is wanted, such as 'violation_rate <= 5% at 0.95, over_refusal_rate <= 10%; max usefulness'. "
        "[max balance]",
    ),
]
RESULTS = Path("results.duckdb")


def main() -> None:
    """Run one command. A user's mistake is one line on stderr and exit code 2; a bug keeps its traceback."""
    without_telemetry()
    share_cores()
    try:
        app(prog_name="mergescope")
    except MergescopeError as error:
        print(error.line(), file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recipe to write, such as studies/mine.yaml.")],
    base: Annotated[str | None, typer.Option(help="Common ancestor: folder or Hub id.")] = None,
    safe: Annotated[str | None, typer.Option(help="model-safe: folder, Hub id, or base+adapter.")] = None,
    useful: Annotated[str | None, typer.Option(help="model-useful: folder, Hub id, or base+adapter.")] = None,
    prompts: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="File of prompts; may be given again.")
    ] = None,
    engine: Annotated[str, typer.Option(help="transformers or vllm.")] = "transformers",
    judge: Annotated[str, typer.Option(help="proxy, or the model name of an OpenAI-compatible judge.")] = "proxy",
    language: Annotated[str, typer.Option(help="Language of answers and rubric: ja or en.")] = "ja",
) -> None:
    """Write a commented recipe for two fine-tunes that you have; asks for what no option gives."""
    from mergescope.init import Answers, not_recognised, not_there, write_recipe

    answers = Answers(
        base=base or _ask("Base model (folder or Hub id)", "--base"),
        safe=safe or _ask("model-safe (folder or Hub id)", "--safe"),
        useful=useful or _ask("model-useful (folder or Hub id)", "--useful"),
        prompts=tuple(prompts or [Path(_ask("Prompts (a file)", "--prompts"))]),
        engine=engine,
        judge=judge,
        language=language,
    )
    write_recipe(file, answers)
    for missing in not_there(answers):
        typer.echo(f"not there yet: {missing}")
    for strange in not_recognised(answers):
        typer.echo(strange)
    name = shlex.quote(str(file))
    typer.echo(f"{file} is written; read it, then: mergescope merge {name} --plan, and: mergescope run {name}")


@app.command()
def prompts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of prompts: CSV, JSONL, JSON or Parquet.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Whose form it has: mergescope, xstest, aisev, do-not-answer, mt-bench, answercarefully, "
            "answercarefully-borderline, llm-jp-judge, self-instruct or jcommonsenseqa. "
            "By its columns if left out, else mergescope.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Kind of its prompts: harmful, jailbreak, borderline or benign. llm-jp-judge needs it, aisev may have "
            "it; what the format says if left out.",
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="MT-Bench's file of reference answers; those in the questions if left out."),
    ] = None,
) -> None:
    """Read a file of prompts and say what is in it; exit code 1 if some of it cannot be read."""
    from mergescope.prompt_report import report

    raise typer.Exit(report(file, form, kind, references))


@app.command()
def doctor() -> None:
    """Say what this machine has and what would fail; exit code 1 if something needed is missing."""
    from mergescope.doctor import examine, show

    raise typer.Exit(show(examine()))


@app.command()
def run(
    study: StudyFile, store: Store = RESULTS, budget: Amount = None, budget_tokens: Tokens = None, yes: Yes = False
) -> None:
    """Do every stage of a study that is not done: train, merge, answer, judge."""
    from mergescope.spending import limit_of

    _do(study, store, "train", "merge", "eval", limit=limit_of(budget, budget_tokens), yes=yes)


@app.command()
def train(
    study: StudyFile,
    store: Store = RESULTS,
    plan: Annotated[bool, typer.Option("--plan", help="Say what training will take, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: as JSON.")] = False,
) -> None:
    """Make the data, the base, model-safe and model-useful, as far as the recipe asks for them.

    With --plan, forecast tokens, steps, memory of each GPU and the command of `accelerate` instead.
    """
    if plan:
        from mergescope.training_plan_text import show_training_plan

        raise typer.Exit(show_training_plan(study, as_json=as_json))
    if as_json:
        raise MergescopeError("belongs to --plan", where="--json", cure="add --plan, or leave it out")
    _do(study, store, "train")


@app.command()
def adapt(
    base: Annotated[str, typer.Argument(help="The adapter's base: folder or Hub id.")],
    adapter: Annotated[str, typer.Argument(help="Folder or Hub id of a peft adapter (LoRA).")],
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")],
    sha256: Annotated[
        str | None, typer.Option(help="What the weights must hash to; exit code 1 if they do not.")
    ] = None,
) -> None:
    """Merge an adapter into its base once, as a study does whose recipe names base+adapter."""
    from mergescope.adapting import adapt_into

    raise typer.Exit(adapt_into(base, adapter, out, sha256))


@app.command()
def merge(
    study: StudyFile,
    store: Store = RESULTS,
    plan: Annotated[bool, typer.Option("--plan", help="Say what the study will take, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: as JSON.")] = False,
    gpu: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[xN]", help="With --plan: GPUs to answer on; may be given again. [A100-40GB x4]"),
    ] = None,
    hours: Annotated[float | None, typer.Option(help="With --plan: limit of all answers, in hours. [24]")] = None,
) -> None:
    """Merge adapters and draw the masks of the study's merges; where mergekit merges every point, check the models.

    With --plan, forecast bytes, memory, disk, time and GPU hours instead.
    """
    if plan:
        from mergescope.plan_text import show_plan

        raise typer.Exit(show_plan(study, gpu or [], hours, as_json=as_json))
    for option, value in (("--json", as_json), ("--gpu", gpu), ("--hours", hours)):
        if value:
            raise MergescopeError("belongs to --plan", where=option, cure="add --plan, or leave it out")
    _do(study, store, "merge")


@app.command("eval")
def evaluate(
    study: StudyFile,
    store: Store = RESULTS,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name of eval.checkpoints, base, model-safe, model-useful, merges or imported; "
            "may be given again. All of them if left out.",
        ),
    ] = None,
    budget: Amount = None,
    budget_tokens: Tokens = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what judging will take, and ask nobody.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: as JSON.")] = False,
    yes: Yes = False,
) -> None:
    """Have every merge and reference answer the prompts, and the judges score the answers.

    With --plan, forecast questions, tokens, money and hours of each judge instead.
    """
    from mergescope.spending import limit_of

    limit = limit_of(budget, budget_tokens)
    if plan:
        from mergescope.judging_plan_text import show_judging_plan

        if limit is not None:
            cure = "leave it out: the plan says what would be spent"
            raise MergescopeError(
                "belongs to a run", where="--budget-tokens" if limit.tokens else "--budget", cure=cure
            )

        raise typer.Exit(show_judging_plan(study, store, only or (), as_json=as_json))
    if as_json:
        raise MergescopeError("belongs to --plan", where="--json", cure="add --plan, or leave it out")
    _do(study, store, "eval", only=only or (), limit=limit, yes=yes)


@app.command()
def dashboard(
    store: Store = RESULTS,
    port: Annotated[int | None, typer.Option(help="Port; the first free one from 8501 if left out.")] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = False,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="IP address to listen on; others than this machine's want sign-in.")
    ] = "127.0.0.1",
    sign_in: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may open it, and the OpenID Connect provider.")
    ] = None,
    without_sign_in: Annotated[
        bool, typer.Option("--without-sign-in", help="Let every machine that reaches ADDRESS read and decide.")
    ] = False,
) -> None:
    """Show the results in the browser until stopped with Ctrl-C."""
    from dashboard.serving.serve import Binding, serve

    raise typer.Exit(serve(store, port, open_browser, Binding(host, sign_in, without_sign_in)))


@app.command()
def purge(
    study: StudyFile,
    now: Annotated[
        bool, typer.Option("--now", help="Delete all toxic texts that no unfinished training needs, however young.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --now: do not ask first.")] = False,
) -> None:
    """Delete the study's toxic texts that nothing has used for `data.retention_days`; with --now, all of them."""
    from mergescope.purging import purge_study
    from mergescope.study import load_study

    for line in purge_study(load_study(study), now=now, yes=yes):
        typer.echo(line)


@app.command()
def status(study: StudyFile, store: Store = RESULTS) -> None:
    """Show which stages are done, what is running, and what the results file holds of the study."""
    from mergescope.retention import open_study
    from mergescope.status import show

    show(open_study(study), store)


@app.command()
def compare(
    study: StudyFile,
    rule: Rule = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What all points are compared with; model-useful, else base, if left out."),
    ] = None,
    store: Store = RESULTS,
) -> None:
    """Show which points a rule recommends, how sure that is, and how many more prompts would make it surer."""
    from mergescope.comparing import compare as lines
    from mergescope.retention import open_study

    for line in lines(open_study(study), store, rule, baseline):
        typer.echo(line)


@app.command()
def refine(
    study: StudyFile,
    rule: Rule = None,
    points: Annotated[int | None, typer.Option(help="How many ratios; one for each gap if left out.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put them into the recipe, comments kept.")] = False,
    store: Store = RESULTS,
) -> None:
    """Propose further ratios around the points that a rule recommends."""
    from mergescope.refining import refine as lines
    from mergescope.retention import open_study

    for line in lines(open_study(study), store, rule, points, write=write):
        typer.echo(line)


@app.command()
def results(
    study: StudyFile,
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    form: Annotated[str, typer.Option("--format", help="jsonl, parquet, or llm-jp-judge.")] = "jsonl",
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help='Only this checkpoint, such as base or "r 0.50"; may be given again. All of them if left out.',
        ),
    ] = None,
    with_texts: Annotated[
        bool, typer.Option("--with-texts", help="Keep all texts: for copies that you do not share.")
    ] = False,
    store: Store = RESULTS,
) -> None:
    """Write answers, judgements and metrics as files; texts that may not be shared are left out."""
    from mergescope.results import Wanted, write_results
    from mergescope.retention import open_study

    for line in write_results(open_study(study), store, Wanted(out, form, tuple(checkpoint or ()), with_texts)):
        typer.echo(line)


@app.command("import")
def import_(
    study: StudyFile,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Answers and judgements to take in.")],
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who answered; if left out, each row names a checkpoint of the study."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who judged; if left out, as the files say.")
    ] = None,
    what: Annotated[
        str | None, typer.Option("--as", help="answers or judgements; told by the files if left out.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="jsonl, parquet, or llm-jp-judge; by the file's suffix if left out.")
    ] = None,
    store: Store = RESULTS,
) -> None:
    """Take in answers and judgements of elsewhere; all of the files or nothing of them."""
    from mergescope.importing import Offer, import_results
    from mergescope.retention import open_study

    for line in import_results(open_study(study), store, Offer(tuple(files), checkpoint, judge, what, form)):
        typer.echo(line)


@app.command()
def inbox(
    store: Annotated[Path, typer.Argument(metavar="STORE", envvar="MERGESCOPE_STORE", help="Results file.")] = RESULTS,
) -> None:
    """Take people's verdicts and choices, which pages leave beside the results, into the results file."""
    from eval.inbox.taking import take_in

    for line in take_in(store).lines():
        typer.echo(line)


@app.command()
def export(
    context: typer.Context,
    study: StudyFile,
    ratio: Annotated[str, typer.Option(help="Weight of model-safe, 0 to 1, at most 6 digits.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    mask_seed: Annotated[int | None, typer.Option(help="Seed of the masks; the recipe's first if left out.")] = None,
    materialize: Annotated[bool, typer.Option("--materialize", help="Write the merged checkpoint as well.")] = False,
    rule: Annotated[str | None, typer.Option(help="What the point was chosen by, in words.")] = None,
    by: Annotated[str | None, typer.Option(help="Who chose it; nobody is recorded if left out.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, in words.")] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Open a gate: vendor-terms or less-safe-than-base; may be given again."),
    ] = None,
    progress: Annotated[Path | None, typer.Option(help="File that says how far it is, written each second.")] = None,
    store: Store = RESULTS,
) -> None:
    """Write the bundle of one merge: exact mergekit config, seed, command, hashes, numbers, model card, Dockerfile."""
    from mergescope.export import Wish, export_point
    from mergescope.retention import open_study

    source = context.get_parameter_source("store")
    if source is not None and source.name != "DEFAULT" and not store.exists():
        cure = "correct the path, or leave it out to export without numbers"
        raise MergescopeError("no such results file", where="--store", value=str(store), cure=cure)
    wish = Wish(ratio, out, mask_seed, materialize, rule, by, note, tuple(acknowledge or ()), progress)
    for line in export_point(open_study(study), store, wish):
        typer.echo(line)


@judge_app.command("calibrate")
def judge_calibrate(
    study: StudyFile,
    labels: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Answers with people's labels: XSTest's form or ours; may be given again."),
    ],
    judge: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this judge of the recipe; all of them if left out.")
    ] = None,
    budget: Amount = None,
    budget_tokens: Tokens = None,
    yes: Yes = False,
    store: Store = RESULTS,
) -> None:
    """Hold the judges against people's labels; one that agrees less than string match is marked not trusted."""
    from mergescope.calibrating import calibrate_judges
    from mergescope.retention import open_study
    from mergescope.spending import limit_of

    limit = limit_of(budget, budget_tokens)
    for line in calibrate_judges(open_study(study), store, labels, judge, limit, yes=yes):
        typer.echo(line)


@judge_app.command("agreement")
def judge_agreement(study: StudyFile, store: Store = RESULTS) -> None:
    """Say how far the study's judges agree with each other, and each with itself over repeats."""
    from mergescope.agreeing import agreement_lines
    from mergescope.retention import open_study

    for line in agreement_lines(open_study(study), store):
        typer.echo(line)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder that `mergescope export` wrote, or a .zip of it.")],
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the models base, safe, useful; `inputs` in the bundle, or the Hub, if left out."
        ),
    ] = None,
) -> None:
    """Merge a bundle again and compare every tensor; exit code 1 if one differs, or a file or model is another."""
    from mergescope.verifying import verify_bundle

    raise typer.Exit(verify_bundle(bundle, inputs))


def _do(
    file: Path,
    store: Path,
    *commands: str,
    only: Sequence[str] = (),
    limit: BudgetLimit | None = None,
    yes: bool = False,
) -> None:
    from mergescope.retention import open_study
    from mergescope.stages import do

    do(open_study(file), store, commands, only, limit, yes=yes)


def _ask(question: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise MergescopeError(f"{option} is missing", cure="give it, or run this on a terminal to be asked")
    return str(typer.prompt(question))
