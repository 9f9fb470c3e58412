"""Whole HTML pages as different kinds of sites serve them: chrome, clutter and the page's text.

Knows neither HTTP nor WARC. One Jinja template for each kind of site, in ``templates/``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from .pages import INLINE, Block, Page

SITES = {
    "st-oswin.parish.test": "handmade",
    "qrp.attic-radio.invalid": "handmade",
    "pulpmill.test": "handmade",
    "thinlight.example": "handmade",
    "estuarybirds.example": "handmade",
    "chess.pellworm.test": "handmade",
    "cs340.uni-wexholm.example": "handmade",
    "forum.lanternfall.test": "forum",
    "forum.allotment.example": "forum",
    "ask.workbench.test": "forum",
    "parentcorner.test": "forum",
    "railfans.test": "forum",
    "lists.tinyboot.test": "mailing_list",
    "docs.quernfs.invalid": "docs",
    "help.larkmail.test": "docs",
    "meridian-drift.fanwiki.example": "wiki",
    "daily-clarion.test": "newspaper",
    "hollowaygazette.test": "newspaper",
    "harrowmere-times.example": "newspaper",
    "ledgerline.example": "newspaper",
    "chipwatch.example": "newspaper",
    "elfarodelsur.test": "newspaper",
    "revue-lamarge.test": "newspaper",
    "shop.kettleworks.example": "shop",
    "dunstow.gov.example": "shop",
    "museum.fenholt.test": "shop",
    "lab.cobaltline.example": "app",
    "brackenwick.institute.test": "app",
    "tandem.wieza.test": "app",
    "chatshare.example": "app",
    "longview.example": "app",
}
"""The kind of each site; others are blogs."""
_POST = re.compile(
    r"(\*\*)?(?P<author>[\w .+\-()]{2,40}?)(\*\*)?(?P<verb> (wrote|napisała?):|(?<=\*\*)( »|:))\s*(?P<text>.*)",
    re.DOTALL,
)
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Post:
    """A post of a thread: who wrote it (empty for what is no post), how the board says so, and its blocks."""

    author: str
    verb: str
    blocks: tuple[Block, ...]


def html_page(page: Page, neighbours: Sequence[Page], meta_charset: str | None) -> str:
    """The page as its site serves it, linking to ``neighbours``; ``meta_charset`` is what it declares, if anything."""
    template = _ENVIRONMENT.get_template(f"{SITES.get(page.host, 'blog')}.html")
    others = [other for other in neighbours if other.url != page.url][:6]
    seed = hashlib.sha256(page.host.encode()).hexdigest()
    site = page.host.split(".")[0].replace("-", " ").title()
    parts = {"main": _headless(page.main), "comments": page.comments, "posts": posts(page.blocks)}
    return template.render(page=page, others=others, site=site, seed=seed, charset=meta_charset, **parts)


def _headless(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Without the first heading: the site prints it as the page's title."""
    return blocks[1:] if blocks and blocks[0].kind == "heading" else blocks


def posts(blocks: Iterable[Block]) -> list[Post]:
    """The thread's posts; a post begins at a paragraph such as ``<author> wrote:`` or ``**<author>** »``."""
    found: list[tuple[str, str, list[Block]]] = [("", "", [])]
    for block in blocks:
        match = _POST.fullmatch("\n".join(block.lines)) if block.kind == "paragraph" else None
        if match:
            found.append((match["author"], match["verb"].strip(), []))
            block = Block("paragraph", tuple(match["text"].split("\n")))
        if any(block.lines):
            found[-1][2].append(block)
    return [Post(author, verb, tuple(held)) for author, verb, held in found if author or held]


def inline(text: str) -> Markup:
    """A line with its inline signs as HTML elements."""
    html = str(escape(text))
    for element, pattern in INLINE.items():
        html = pattern.sub(rf"<{element}>\1</{element}>", html)
    return Markup(html)


def title(page: Page) -> str:
    """The first heading if the text opens with one, else the page's title."""
    return page.blocks[0].lines[0] if page.blocks[0].kind == "heading" else page.title


_ENVIRONMENT.filters["inline"] = inline
_ENVIRONMENT.filters["heading"] = title
