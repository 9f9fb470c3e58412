"""The report as one HTML page that loads nothing, drawn from the figures of `collect` alone. With an audit it runs one
script, ours, without which it is complete; else none.

Text of a crawl is hostile: it is escaped everywhere, stripped of the power to reorder or hide what stands near it, and
never gets into a style, a script or a link that is neither http(s) nor to a shard.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.prevalence.figure import brief
from pipeline.readers import is_shard
from pipeline.report.audit_page import audit_view, bare
from pipeline.report.csv_link import csv_link
from pipeline.report.figures import Picture, curve_picture, dates_picture, histogram_picture, percent, windows_picture
from pipeline.storage import as_named, is_local, local_path

_TABLE_THRESHOLDS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
_LABELS_LISTED = 30

_REORDERING = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_UNSEEN = [*range(0x80, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000), *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)]
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in b"\t\n\r"},
    0x7F: "\u2421",
    **{code: f"⟨U+{code:04X}⟩" for code in (*_REORDERING, *_UNSEEN)},
}


def visible(text: str) -> str:
    """The text with control, reordering and tag characters, and bytes of file names that are no Unicode, as visible
    marks (``\\0`` as ␀, U+202E as ⟨U+202E⟩)."""
    return text.translate(_VISIBLE)


def render(report: dict[str, Any]) -> str:
    """The page of a report, UTF-8 text of some hundred kilobytes. The same figures give the same page."""
    environment, style = open_environment()
    audited = {"view": audit_view(report), **script_of(environment)} if report["audit"] else {"script": None}
    return environment.get_template("template.html").render(
        r=report,
        **style,
        **audited,
        pictures=_pictures(report),
        thresholds=_threshold_rows(report),
        wrong_in_thousand=round(report["headline"]["documents"]["total"] / 1000),
        model=_model_rows(report["model"]),
    )


def script_of(environment: Environment) -> dict[str, str]:
    """The one script that a page may run, ours (``report.js``), and its hash for the policy."""
    source = environment.loader.get_source(environment, "report.js")[0] if environment.loader else ""
    return {"script": Markup(source), "script_hash": _hash(source)}


def _hash(text: str) -> str:
    """For the policy that lets nothing else in."""
    return b64encode(sha256(text.encode()).digest()).decode()


def open_environment() -> tuple[Environment, dict[str, str]]:
    """Where templates are rendered: all that is put into them is made visible and escaped. And what every page names:
    the style, and its hash for the policy that lets nothing else in."""
    loader = PackageLoader("pipeline.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "share": _share,
        "counted": _counted,
        "count": _count,
        "size": _size,
        "score": _score,
        "metric": _metric,
        "bare": bare,
        "brief": brief,
    }
    style = loader.get_source(environment, "style.css")[0]
    environment.globals |= {"csv": csv_link, "link": is_link, "shard_link": shard_link, "widest": _widest}
    return environment, {"style": Markup(style), "style_hash": _hash(style)}  # the style is ours


def is_link(url: object) -> bool:
    """Whether a URL may become a link: plain http or https, and nothing in it that is not shown as it is."""
    return isinstance(url, str) and bool(re.fullmatch(r"https?://[^\s<>\"'`\\]+", url)) and visible(url) == url


def shard_link(shard: str, row: int) -> str | None:
    """A link to a shard, with the row as its fragment, if it is a file of this machine or plain http(s). A file must be
    named like a shard: another one, of text from a crawl, a browser might run. Its path stands percent-encoded in the
    URL. Browsers do not follow such links from a page that a web server gave them."""
    if not is_local(shard):
        return f"{shard.partition('#')[0]}#row={row}" if is_link(shard) else None
    path = local_path(as_named(shard))
    return f"{path.as_uri()}#row={row}" if path.is_absolute() and is_shard(path.name) else None


def _shown(value: Any) -> Any:
    """What every expression of the template passes through, before it is escaped."""
    if value is None:
        return "–"
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _pictures(report: dict[str, Any]) -> dict[str, Any]:
    if not report["headline"]["documents"]["total"]:
        return {}
    shown = report["labels"]["shown"]
    edges = report["labels"]["bar_edges"]
    histograms = [
        histogram_picture(each, edges, report["threshold"] if each["label"] == report["label"] else None)
        for each in shown
    ]
    dates: Picture | None = dates_picture(report["dates"]) if len(report["dates"]["rows"]) > 1 else None
    return {
        "curve": curve_picture(report), "windows": windows_picture(report), "histograms": histograms, "dates": dates,
    }  # fmt: skip


def _threshold_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Some rows of the curve, and the one of the threshold itself, in order."""
    rows = [{**point, "own": False} for point in report["curve"] if point["threshold"] in _TABLE_THRESHOLDS]
    own = {unit: report["headline"][unit]["flagged"] for unit in ("documents", "words", "bytes")}
    rows = [row for row in rows if row["threshold"] != report["threshold"]]
    return sorted([*rows, {"threshold": report["threshold"], "own": True, **own}], key=lambda row: row["threshold"])


def _widest(rows: list[dict[str, Any]]) -> float:
    """The share at a bar's full length: the highest, so that a wide interval of a small group is cut, not the bars."""
    return max((row["share"] for row in rows), default=0.0) * 1.25 or 1.0


def _model_rows(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The model card as (key, text), nested parts with dotted keys."""
    known = {**model, "labels": _listed(model["labels"])}
    if topics := model.get("topic_model"):
        known["topic_model"] = {**topics, "labels": _listed(topics["labels"])}
    known["span_thresholds"] = dict(list(model.get("span_thresholds", {}).items())[:_LABELS_LISTED])
    first = ("name", "digest", "labels", "target", "threshold", "language", "window", "stride", "codebook_version")
    order = [*(key for key in first if key in known), *sorted(known.keys() - set(first))]
    return [row for key in order for row in _flattened(key, known[key])]


def _listed(labels: list[Any]) -> str:
    more = f" and {len(labels) - _LABELS_LISTED} more" if len(labels) > _LABELS_LISTED else ""
    return f"{len(labels)}: {', '.join(map(str, labels[:_LABELS_LISTED]))}{more}"


def _flattened(key: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and not {"value", "low", "high"} <= value.keys():
        return [row for name, inner in value.items() for row in _flattened(f"{key}.{name}", inner)]
    return [(key, _metric(value))]


def _metric(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_score(value['value'])} (95 %: {_score(value['low'])} to {_score(value['high'])})"
    if isinstance(value, list):
        return ", ".join(_metric(each) for each in value)
    return _score(value) if isinstance(value, float) else str(value)


def _share(share: float | None, digits: int = 3) -> str:
    return percent(share, digits).replace(" ", "\N{NO-BREAK SPACE}")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _score(value: float | None) -> str:
    """Four digits, or as many as tell it from 1."""
    if value is None:
        return "–"
    return f"{value:.4f}" if 0.0001 <= value < 0.99995 else f"{value:.7g}"


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}" if unit != "bytes" else f"{number:.0f} bytes"
        number /= 1000
    return f"{number:,.3g} TB"
