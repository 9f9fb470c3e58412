"""``tropescan label ask``: language models as annotators of a draw."""

from __future__ import annotations

import os
import sys
from collections import Counter

import click
from openai import APIError
from rich.console import Console

from jobs.label_options import opened, store_option
from jobs.label_texts import text_reader
from jobs.options import FOLDER
from labels.llm import Budget, ModelClient, Outcome, Prices, annotate
from labels.llm.ask import FORMATS

BASE_URL, API_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"


@click.command("ask")
@store_option
@click.option("--draw", required=True, metavar="NAME", help="The draw to label.")
@click.option("--model", required=True, help="The model's name at the endpoint.")
@click.option("--annotator", metavar="NAME", help="Name under which its labels are kept. [default: the model's]")
@click.option("--limit", type=click.IntRange(1), help="Ask about so many documents at most.")
@click.option(
    "--budget-usd", type=click.FloatRange(0, min_open=True), help="Stop before the draw has cost more; wants prices."
)
@click.option("--budget-tokens", type=click.IntRange(1), help="Stop before the draw has taken more.")
@click.option("--price-in", default=0.0, type=click.FloatRange(0), help="US dollars for a million tokens of prompt.")
@click.option("--price-out", default=0.0, type=click.FloatRange(0), help="US dollars for a million tokens of answer.")
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 256), help="Questions at once.")
@click.option(
    "--per-minute", default=0.0, type=click.FloatRange(0), help="Requests a minute at most. [default: no limit]"
)
@click.option("--attempts", default=3, show_default=True, type=click.IntRange(1), help="Until an answer is valid.")
@click.option("--retries", default=6, show_default=True, type=click.IntRange(0), help="After 429, 5xx and time-outs.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for a response.")
@click.option("--most-chars", default=20_000, show_default=True, type=click.IntRange(1), help="Shown of a document.")
@click.option("--most-tokens-out", default=1024, show_default=True, type=click.IntRange(1), help="Of an answer.")
@click.option("--response-format", type=click.Choice(tuple(FORMATS)), default="json_schema", show_default=True,
              help="What the endpoint can be held to; the answer is checked in any case.")  # fmt: skip
@click.option("--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of items that only point.")
def command(
    place: str, draw: str, model: str, annotator: str | None, limit: int | None, budget_usd: float | None,
    budget_tokens: int | None, price_in: float, price_out: float, concurrency: int, per_minute: float, attempts: int,
    retries: int, timeout: float, most_chars: int, most_tokens_out: int, response_format: str,
    texts: tuple[str, ...],
) -> None:  # fmt: skip
    """Have a language model label a draw under the codebook, at any endpoint that speaks OpenAI's protocol.

    The endpoint and its key are taken from the environment only, OPENAI_BASE_URL and OPENAI_API_KEY. Documents go to
    that endpoint and nowhere else, as data between fences with random names. An answer is checked against the schema,
    the codebook and the document, and kept as it was received, with tokens and cost; one that is no answer is asked
    for again, and in the end the document is skipped with what was said.

    Stop it when you like and run it again: it goes on where it was. Exit status: 0 all is labelled, or the limit or
    budget reached; 1 some documents got no valid answer.

    \b
    export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=…
    tropescan label ask --store labels.sqlite --draw round-1 --model NAME --budget-tokens 500000
    """
    if budget_usd is not None and not price_in and not price_out:
        raise click.UsageError("--budget-usd needs --price-in and --price-out")
    client = ModelClient(
        model, base_url=_environment(BASE_URL, "the address of the endpoint, ending in /v1"),
        api_key=_environment(API_KEY, "its key; any word, if it asks for none"), per_minute=per_minute,
        attempts=attempts, retries=retries, timeout=timeout, response_format=response_format,
        most_tokens_out=most_tokens_out, prices=Prices(price_in, price_out),
    )  # fmt: skip
    console = Console(stderr=True)
    with opened(place) as store, console.status(f"asking {model}") as status:
        try:
            outcome = annotate(
                store, client, annotator=annotator or model, draw=draw, read_text=text_reader(store, texts),
                budget=Budget(budget_tokens, budget_usd), most_chars=most_chars, concurrency=concurrency, limit=limit,
                tell=lambda done: status.update(_line(done)),
            )  # fmt: skip
        except APIError as error:
            raise click.ClickException(f"{model}: {error}; what was answered is in the store, run it again") from error
        finally:
            client.close()
    click.echo(_line(outcome) + (f"; {outcome.stopped}" if outcome.stopped else ""))
    for why, n in Counter(outcome.errors).most_common(5):
        click.echo(f"  {n} without a valid answer: {why}", err=True)
    sys.exit(1 if outcome.invalid else 0)


def _environment(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise click.UsageError(f"set {name} in the environment: {what}")
    return value


def _line(done: Outcome) -> str:
    return f"{done.labelled} labelled, {done.invalid} without a valid answer, {done.tokens:,} tokens, ${done.cost:.4f}"
