"""``tropescan label serve``: the annotators' page over a label store."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from pathlib import Path

import click
import uvicorn

from classifiers.card import default_model
from jobs.label_options import opened, store_option
from jobs.label_texts import evidence_finder, text_reader
from jobs.model_option import MODEL
from jobs.options import FOLDER
from labels.page import Desk, create_app

SHORTEST_TOKEN = 16


@click.command("serve")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen here; any but loopback demands a token.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--allow-host", "names", multiple=True, metavar="NAME",
              help="A name under which browsers reach the page (repeatable).")  # fmt: skip
@click.option("--token", envvar="TROPESCAN_TOKEN", show_envvar=True,
              help="What annotators sign in with. [default: made anew and printed, unless on loopback]")  # fmt: skip
@click.option("--lead-token", envvar="TROPESCAN_LEAD_TOKEN", show_envvar=True,
              help="Who signs in with this one sees figures and disputes; without it, everyone does.")  # fmt: skip
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="TLS certificate (PEM), for https.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="Its private key (PEM).")
@click.option("--model", type=MODEL,
              help="Model whose evidence can be shown on key. [default: the shipped one]")  # fmt: skip
@click.option("--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of items that only point.")
def command(
    place: str, host: str, port: int, names: tuple[str, ...], token: str | None, lead_token: str | None,
    certificate: str | None, key: str | None, model: Path | None, texts: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve the page on which people label, settle differences and see how the work goes.

    Annotators sign in with a name, under which their labels are kept; several may work at once. Labels are in the
    store as soon as the page says so: stop the server when you like, start it again, and everyone goes on with the
    text that they had.

    On loopback no token is asked for. On any other address one is (give it by the environment, so that it does not
    show in the list of processes), and the line should be encrypted: --certificate and --key, or a proxy in front.

    \b
    tropescan label serve --store labels.sqlite
    TROPESCAN_TOKEN=… tropescan label serve --store postgresql://… --host 0.0.0.0 --allow-host labels.example.org
    """
    token = _token(host, token, lead_token)
    finder = evidence_finder(model or default_model())
    with opened(place) as store:
        # Known to who knows store and token, and the same after a restart: those who signed in stay so.
        secret = hashlib.sha256(f"{store.engine.url}\n{token}\n{lead_token}".encode()).hexdigest()
        desk = Desk(store, text_reader(store, texts), finder, secret, token, lead_token)
        app = create_app(desk, _hosts(host, names), https=certificate is not None)
        config = uvicorn.Config(
            app, host=host, port=port, ssl_certfile=certificate, ssl_keyfile=key, log_level="warning",
            server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=5,
        )  # fmt: skip
        _run(config, "https" if certificate else "http", names[0] if names else host)


def _run(config: uvicorn.Config, scheme: str, name: str) -> None:
    """Serve until interrupted; the address is printed when it can be opened, with the port that was taken."""
    config.load()
    listening = config.bind_socket()
    address = f"[{name}]" if ":" in name else name
    click.echo(f"{scheme}://{address}:{listening.getsockname()[1]}/  (Ctrl-C stops it)")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # how it is meant to be stopped
    finally:
        listening.close()


def _token(host: str, token: str | None, lead_token: str | None) -> str | None:
    for given in (token, lead_token):
        if given is not None and len(given) < SHORTEST_TOKEN:
            raise click.UsageError(f"a token needs at least {SHORTEST_TOKEN} characters, or it can be guessed")
    if lead_token is not None and token == lead_token:
        raise click.UsageError("the lead's token must differ from the annotators'")
    if token is None and (lead_token is not None or not _is_loopback(host)):
        token = secrets.token_urlsafe(24)
        click.echo(f"Token to sign in with: {token}")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hosts(host: str, names: tuple[str, ...]) -> list[str]:
    """What the Host header may say: the address itself, loopback, and the names given."""
    address = f"[{host}]" if ":" in host else host
    return sorted({address, host, "localhost", "127.0.0.1", "[::1]", "::1", *names})
