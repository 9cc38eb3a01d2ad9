"""The commands of `mergescope data`: each imports its own module when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Recipe of the study, such as studies/demo.yaml.")]

Amount = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="What all servers may spend in this run, in the currency of their `price`; no limit if left out.",
    ),
]
Tokens = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="The same in tokens, for servers whose price is not known.")
]

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, import and make preference data.")


@data_app.command("check")
def data_check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Triples as JSONL; those that the study trains on if left out."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(metavar="STUDY", help="Recipe whose evaluation sets, tokenizer and max_length count."),
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Prompts or triples that may not be trained on; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is in files of triples: faults, repeats, overlap with evaluations, lengths, categories.

    Exit code 1 if something would stop a training.
    """
    from mergescope.data_checking import check_data

    raise typer.Exit(check_data(files or [], study, held_out or [], as_json=as_json))


@data_app.command("import")
def data_import(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORM", help="answercarefully, answercarefully-borderline, hh-rlhf, trl or instruction-ja."
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File, folder, or id of a data set on the Hub (owner/name).")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file to write; must not exist.")],
    config: Annotated[
        str | None, typer.Option(metavar="NAME", help="The set's configuration; the form's own if left out.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="The set's split; `train`, or its only one, if left out.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FORM=SET", help="What the set calls a column, as prompt=question; may be given again."),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence; as the set says if left out.")] = None,
    made_by: Annotated[
        str | None, typer.Option(help="Who or what wrote it, such as gpt-4o; as the form knows if left out.")
    ] = None,
) -> None:
    """Read a published preference set and write its triples; of a set on the Hub, licence and size are shown first."""
    from mergescope.data_importing import Order, import_data

    for line in import_data(Order(form, source, out, config, split, column or (), licence, made_by)):
        typer.echo(line)


@data_app.command("make")
def data_make(
    study: StudyFile,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it will take, and ask nobody.")] = False,
    budget: Amount = None,
    budget_tokens: Tokens = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send prompts and answers to the recipe's hosts without being asked first.")
    ] = False,
) -> None:
    """Make preference data with served models: questions, safe answers, answers to avoid, borderline pairs.

    With --plan, forecast requests, tokens, money and hours of each server instead.
    """
    from mergescope.data_making import make_data, show_data_plan
    from mergescope.spending import limit_of

    limit = limit_of(budget, budget_tokens)
    for line in show_data_plan(study) if plan else make_data(study, limit, yes=yes):
        typer.echo(line)


@data_app.command("review")
def data_review(
    study: StudyFile,
    name: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Only this set of made pairs; all if left out.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only pairs of this kind: harmful, borderline or benign.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who reviews; the user's name if left out.")] = None,
) -> None:
    """Approve, edit or drop made pairs, key by key; toxic sides are shown one at a time, when a key asks for them."""
    from mergescope.data_reviewing import review_data

    for line in review_data(study, name, kind, by):
        typer.echo(line)


@data_app.command("selfalign")
def data_selfalign(
    study: StudyFile,
    store: Annotated[Path, typer.Option("--store", envvar="MERGESCOPE_STORE", help="Results file.")] = Path(
        "results.duckdb"
    ),
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it takes: rounds, requests, hosts.")] = False,
    budget: Amount = None,
    budget_tokens: Tokens = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send texts to the recipe's hosts without being asked first.")
    ] = False,
) -> None:
    """Have a study's base write its own pairs of a positive and a toxic answer, round after round."""
    from mergescope.data_selfaligning import self_align
    from mergescope.spending import limit_of

    self_align(study, store, limit_of(budget, budget_tokens), plan=plan, yes=yes)
