"""The page on which a difference is settled: the text, the records side by side, and a third record of its own."""

from __future__ import annotations

import time
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from labels import codebook
from labels.page import judgement
from labels.page.annotate import item_of, text_of, token_of
from labels.page.desk import Desk, TextUnavailable, desk_of, draw_of, render
from labels.page.judgement import Judgement
from labels.page.passage import quote
from labels.store import record_label
from labels.store.disputes import Dispute, count_disputes, next_dispute
from labels.store.tables import Draw, Item


def settle(request: Request) -> Response:
    """The next disputed text of the draw, or that no one differs."""
    return _show(request, draw_of(request))


def _show(
    request: Request, draw: Draw, *, form: Judgement | None = None, error: str = "", status: int = 200
) -> Response:
    desk, past = desk_of(request), _past(request)
    dispute = next_dispute(desk.store, request.session["who"], draw.name, besides=past)
    left = count_disputes(desk.store, draw.name)
    if dispute is None:
        return render(request, "settled.html", draw=draw, left=left)
    return render(
        request, "settle.html", status, draw=draw, left=left, leased=dispute.leased, error=error, said="",
        form=form or Judgement(), past=_query(past), later=_query([*past, dispute.leased.item.id]),
        opened=f"{time.time():.3f}", evidence=False, settling=True, records=_records(desk, dispute),
        own=any(record.annotator == request.session["who"] for record in dispute.records),
        **text_of(desk, dispute.leased.item, request),
    )  # fmt: skip


def _past(request: Request) -> list[int]:
    """Items that the adjudicator left for later in this round."""
    given = request.query_params.getlist("past")[:500]
    return [int(one) for one in given if one.isascii() and one.isdigit() and len(one) < 10]


def _query(past: list[int]) -> str:
    return "&".join(f"past={one}" for one in past)


def _records(desk: Desk, dispute: Dispute) -> list[dict[str, Any]]:
    """Each annotator's record with the words of its spans, and which labels they do not share."""
    text = _text(desk, dispute.leased.item)
    records = [record for record in dispute.records if record.kind != "adjudicated"]
    differ = {name for name in codebook.LABELS if len({getattr(record, name) for record in records}) > 1}
    return [
        {"label": record, "differ": differ, "quotes": [quote(text, one["start"], one["end"]) for one in record.spans]}
        for record in records
    ]


def _text(desk: Desk, item: Item) -> str:
    try:
        return desk.read_text(item)
    except TextUnavailable:
        return ""


def record(request: Request, form: FormData) -> Response:
    """Append the settling record; the annotators' own stay as they are."""
    draw, desk = draw_of(request), desk_of(request)
    item = item_of(request, draw, form)
    try:
        said = judgement.from_form(form, len(desk.read_text(item)))
    except (codebook.CodebookError, TextUnavailable) as error:
        return _show(request, draw, form=judgement.read(form, lenient=True), error=str(error), status=422)
    record_label(
        desk.store, item.id, request.session["who"], "adjudicated", said.labels, said.mode, token=token_of(form),
        draw=draw.name, sure=said.sure, note=said.note, spans=said.spans,
    )  # fmt: skip
    return RedirectResponse(f"/draw/{draw.id}/settle?{_query(_past(request))}", 303)
