"""The application: which address shows which page, behind which checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from labels.page import annotate, lead, settle
from labels.page.desk import HERE, Desk, render
from labels.page.guard import Guard, Page, door, posted, sign_in, sign_out, signed_in


def create_app(desk: Desk, hosts: Sequence[str], *, https: bool = False) -> ASGIApp:
    """The pages over a desk, for requests to these hosts only. ``https`` marks cookies as for encrypted lines only."""
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(
            SessionMiddleware, secret_key=desk.secret, session_cookie="tropescan", same_site="strict",
            https_only=https, max_age=14 * 24 * 3600,
        ),
    ]  # fmt: skip
    handlers = {HTTPException: _refused, Exception: _failed}
    app = Starlette(routes=_routes(), middleware=middleware, exception_handlers=handlers)
    app.state.desk = desk
    return Guard(app)  # outside of all, so that errors too have its headers


def _routes() -> list[Route | Mount]:
    draw = "/draw/{draw:int}"
    return [
        Route("/signin", door),
        Route("/signin", sign_in, methods=["POST"]),
        Route("/signout", posted(sign_out), methods=["POST"]),
        Route("/", signed_in(annotate.queues)),
        Route(draw, signed_in(annotate.annotate)),
        Route(f"{draw}/label", posted(annotate.label), methods=["POST"]),
        Route(f"{draw}/skip", posted(annotate.pass_by), methods=["POST"]),
        Route(f"{draw}/undo", posted(annotate.take_back), methods=["POST"]),
        Route(f"{draw}/evidence", signed_in(annotate.evidence)),
        Route(f"{draw}/settle", _lead(settle.settle)),
        Route(f"{draw}/settle", posted(settle.record, lead=True), methods=["POST"]),
        Route(f"{draw}/lead", _lead(lead.lead)),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


def _lead(page: Page) -> Page:
    return signed_in(page, lead=True)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    values: dict[str, Any] = {"title": "Not here", "said": error.detail}
    return await run_in_threadpool(lambda: render(request, "message.html", error.status_code, **values))


async def _failed(request: Request, error: Exception) -> Response:
    """The error itself goes to the server's log only."""
    said = "Something went wrong, and what you sent may not be kept. Go back and load the page again: it shows what is."
    return PlainTextResponse(said, 500)
