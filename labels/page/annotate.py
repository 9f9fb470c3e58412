"""The page on which a text is read and labelled: shows the leased item, records, skips, undoes."""

from __future__ import annotations

import time
import uuid
from typing import Any

from sqlalchemy import select
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from labels.codebook import CodebookError
from labels.page import judgement
from labels.page.desk import Desk, TextUnavailable, desk_of, draw_of, render
from labels.page.guard import field
from labels.page.judgement import Judgement
from labels.page.passage import passage
from labels.page.standing import standing
from labels.store import next_item, record_label, skip, undo
from labels.store.figures import progress
from labels.store.tables import Action, Draw, Item, Label, Selection

SAID = {
    "kept": "You had labelled that text already, perhaps in another tab. The first label was kept.",
    "gone": "That text was no longer before you. Here is the one that is.",
    "first": "There is nothing to undo.",
}
LONGEST_SECONDS = 3600.0
"""What is longer was a break, and no time is recorded."""


def queues(request: Request) -> Response:
    """All draws, each with what is left to do; those that still want labels come first."""
    with desk_of(request).store.reading() as session:
        numbers = {draw.name: draw.id for draw in session.scalars(select(Draw))}
    draws = [(numbers[one.name], one) for one in progress(desk_of(request).store) if one.name in numbers]
    draws.sort(key=lambda pair: pair[1].done >= pair[1].selections)
    return render(request, "queues.html", draws=draws)


def annotate(request: Request) -> Response:
    """The text that the annotator has to label now, or that nothing is left."""
    return _show(request, draw_of(request), said=SAID.get(request.query_params.get("said", ""), ""))


def _show(
    request: Request, draw: Draw, *, form: Judgement | None = None, error: str = "", said: str = "", status: int = 200
) -> Response:
    desk, who = desk_of(request), request.session["who"]
    leased = next_item(desk.store, who, draw.name)
    work: dict[str, Any] = {
        "draw": draw,
        "standing": standing(desk.store, draw, who),
        "said": said,
        "undo_token": uuid.uuid4().hex,
    }
    if leased is None:
        return render(request, "done.html", **work)
    said_before = form or _undone_words(desk, leased.item, draw, who) or Judgement()
    return render(
        request, "annotate.html", status, **work, **text_of(desk, leased.item, request), leased=leased, error=error,
        form=said_before, opened=f"{time.time():.3f}", evidence=desk.find_evidence is not None, settling=False,
    )  # fmt: skip


def text_of(desk: Desk, item: Item, request: Request) -> dict[str, Any]:
    """What a page shows of an item's text; ``unavailable`` says why there is none."""
    number = request.query_params.get("page", "1")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 1
    try:
        return {"passage": passage(desk.read_text(item), page), "unavailable": ""}
    except TextUnavailable as error:
        return {"passage": passage(""), "unavailable": str(error)}


def _undone_words(desk: Desk, item: Item, draw: Draw, who: str) -> Judgement | None:
    """What the annotator had said of this item before they undid it."""
    query = select(Label).join(Action, Action.undone_label == Label.id)
    query = query.where(Label.item_id == item.id, Label.draw_id == draw.id, Label.annotator == who)
    with desk.store.reading() as session:
        label = session.scalars(query.order_by(Label.id.desc())).first()
    return judgement.from_label(label) if label else None


def item_of(request: Request, draw: Draw, form: FormData) -> Item:
    """The item that a form is about; 400 if it is none of this draw's."""
    number = field(form, "item")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise HTTPException(400, "The form names no text.")
    query = select(Item).join(Selection, Selection.item_id == Item.id)
    with desk_of(request).store.reading() as session:
        item = session.scalars(query.where(Selection.draw_id == draw.id, Item.id == int(number))).first()
    if item is None:
        raise HTTPException(400, "That text is not in this draw.")
    return item


def token_of(form: FormData) -> str:
    """The form's token, under which it is recorded once; 400 if it has none."""
    token = field(form, "token")
    if len(token) != 32 or not token.isalnum():
        raise HTTPException(400, "The form has no token: load the page again.")
    return token


def label(request: Request, form: FormData) -> Response:
    """Record the judgement, and go on to the next text; what is not right yet comes back with all that was said."""
    draw, desk = draw_of(request), desk_of(request)
    item = item_of(request, draw, form)
    try:
        said = judgement.from_form(form, len(desk.read_text(item)))
    except CodebookError as error:
        return _again(request, draw, item, form, str(error))
    except TextUnavailable as error:
        return _again(request, draw, item, form, f"A text that cannot be read cannot be labelled: {error}")
    done = record_label(
        desk.store, item.id, request.session["who"], "human", said.labels, said.mode, token=token_of(form),
        draw=draw.name, sure=said.sure, note=said.note, spans=said.spans, seconds=_seconds(form),
    )  # fmt: skip
    return _back(draw, "" if done.new else "?said=kept")


def _again(request: Request, draw: Draw, item: Item, form: FormData, error: str) -> Response:
    leased = next_item(desk_of(request).store, request.session["who"], draw.name)
    if leased is None or leased.item.id != item.id:
        return _back(draw, "?said=gone")
    return _show(request, draw, form=judgement.read(form, lenient=True), error=error, status=422)


def _seconds(form: FormData) -> float | None:
    """How long the text was before the annotator: as honest as their browser, None if that cannot be."""
    try:
        taken = time.time() - float(field(form, "opened"))
    except ValueError:
        return None
    return round(taken, 1) if 0 <= taken <= LONGEST_SECONDS else None


def pass_by(request: Request, form: FormData) -> Response:
    """Skip the text; the note, if any, says why."""
    draw = draw_of(request)
    item = item_of(request, draw, form)
    note = field(form, "note").strip()[: judgement.LONGEST_NOTE]
    skip(desk_of(request).store, item.id, request.session["who"], token=token_of(form), draw=draw.name, note=note)
    return _back(draw)


def take_back(request: Request, form: FormData) -> Response:
    """Undo the last label or skip; its text is the next to be shown."""
    draw = draw_of(request)
    leased = undo(desk_of(request).store, request.session["who"], draw.name, token=token_of(form))
    return _back(draw, "" if leased else "?said=first")


def _back(draw: Draw, query: str = "") -> Response:
    return RedirectResponse(f"/draw/{draw.id}{query}", 303)


def evidence(request: Request) -> Response:
    """The model's evidence in the annotator's present text, on demand only: it biases who sees it."""
    draw, desk = draw_of(request), desk_of(request)
    leased = next_item(desk.store, request.session["who"], draw.name)
    if leased is None or desk.find_evidence is None or request.query_params.get("item") != str(leased.item.id):
        raise HTTPException(404, "There is no evidence for this text.")
    found = desk.find_evidence(desk.read_text(leased.item))
    scores = {name: value for name, value in leased.scores.items() if isinstance(value, float)}
    return JSONResponse({"spans": [[one.start, one.end, one.label, one.score] for one in found], "scores": scores})
