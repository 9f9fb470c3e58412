"""What every page needs: the store, texts, a model's evidence, who may come in; and how a page is rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from labels import codebook
from labels.store import Store
from labels.store.tables import Draw, Item

HERE = Path(__file__).parent
LEAD, ANNOTATOR = "lead", "annotator"
"""Roles. Only the lead sees what others said: the page of figures, and disputes."""


class TextUnavailable(ValueError):
    """An item whose text is not in the store and cannot be read from where it points; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """A stretch of a text in which a model finds a label: code points from ``start`` to before ``end``."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True)
class Desk:
    """``read_text`` gives an item's text or raises `TextUnavailable`; ``find_evidence`` is None without a model.

    ``secret`` signs the cookies. Without ``token`` anyone who reaches the page may come in. Where ``lead_token`` is
    given, only who signs in with it is the lead; else everyone is.
    """

    store: Store
    read_text: Callable[[Item], str]
    find_evidence: Callable[[str], list[Evidence]] | None
    secret: str
    token: str | None = None
    lead_token: str | None = None


def desk_of(request: Request) -> Desk:
    """The desk that the application was made with."""
    found: Desk = request.app.state.desk
    return found


def draw_of(request: Request) -> Draw:
    """The draw whose number the path has; 404 if there is none."""
    with desk_of(request).store.reading() as session:
        draw = session.get(Draw, min(request.path_params["draw"], 2**31 - 1))
    if draw is None:
        raise HTTPException(404, "There is no such draw.")
    return draw


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined)
    made.trim_blocks = made.lstrip_blocks = True
    made.globals |= {"MODES": codebook.MODES, "LABELS": codebook.LABELS, "codebook_html": codebook_html()}
    return made


@cache
def codebook_html() -> Markup:
    """The codebook as HTML. Its headings go down one level, under the page's own."""
    source = (files("labels") / "codebook.md").read_text("utf-8")
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(source)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    return Markup(renderer.renderer.render(tokens, renderer.options, {}))


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; every value is escaped."""
    session = request.session
    known = {"who": session.get("who"), "lead": session.get("role") == LEAD, "csrf": session.get("csrf", "")}
    page = _environment().get_template(template).render(known | values)
    return HTMLResponse(page.encode("utf-8", "replace"), status)
