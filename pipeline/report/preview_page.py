"""Sliders for thresholds and strengths as one HTML page: complete without its script, which runs by its hash alone.

Text of tags reaches the page as text and the script as data; the script puts it into text nodes only. Knows the
figures of `preview`; nothing of tags.
"""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from pipeline.report.page import open_environment, visible


def render_preview(figures: dict[str, Any]) -> str:
    """The page, as text. The same figures give the same page."""
    environment, style = open_environment()
    assert environment.loader is not None
    script = environment.loader.get_source(environment, "preview.js")[0]
    return environment.get_template("preview.html").render(
        p=figures, **style, script=Markup(script), data=as_data(_for_script(figures)),  # the script is ours
        script_hash=b64encode(sha256(script.encode()).digest()).decode(), own=figures["threshold"],
    )  # fmt: skip


def _for_script(figures: dict[str, Any]) -> dict[str, Any]:
    sample = figures["sample"]
    shown = {name: [visible(each) for each in sample[name]] for name in ("domains", "modes", "topics")}
    names = {name: figures[name] and visible(figures[name]) for name in ("label", "raised")}
    return {"corpus": figures["corpus"], "threshold": figures["threshold"],
            "raised_threshold": figures["raised_threshold"], **names, **sample, **shown}  # fmt: skip


def as_data(value: Any) -> Markup:
    """JSON that can stand inside a script element: nothing in it ends the element or begins another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
