"""Who may come in, and what a browser is told not to do. Knows requests and sessions, nothing of labels.

Hosts are checked by Starlette's middleware against DNS rebinding; a request that changes something must come from the
page itself (Origin) and carry the session's secret (CSRF). OWASP, Cross-Site Request Forgery Prevention.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from secrets import compare_digest, token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labels.page.desk import ANNOTATOR, LEAD, Desk, desk_of, render

MOST_BYTES = 1_000_000
"""Of a request's body; a label with its note and spans has far less."""
LONGEST_NAME = 64
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms would be sent with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Page = Callable[[Request], Response]
Answer = Callable[[Request, FormData], Response]


class Guard:
    """Middleware: headers on every response; refuses large bodies, and changes asked for by another site."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer that it is refused."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, guarded)


def _refusal(method: str, headers: Headers) -> Response | None:
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return PlainTextResponse("Method not allowed.", 405)
    length = headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        return PlainTextResponse("The request must say how long it is.", 411)
    if int(length) > MOST_BYTES:
        return PlainTextResponse(f"The request is over {MOST_BYTES:,} bytes: shorten the note.", 413)
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        return PlainTextResponse("Refused: the request comes from another site.", 403)
    return None


def signed_in(page: Page, *, lead: bool = False) -> Page:
    """Show a page to those who signed in (only to the lead, if so asked); send others to the door."""

    def checked(request: Request) -> Response:
        if not request.session.get("who"):
            return RedirectResponse("/signin", 303)
        if lead and request.session.get("role") != LEAD:
            raise HTTPException(403, "This page is for the lead: it shows what others said. Sign in with their token.")
        return page(request)

    return checked


def posted(answer: Answer, *, lead: bool = False) -> Any:
    """An endpoint for a form of someone who signed in; its CSRF token is checked first."""

    async def endpoint(request: Request) -> Response:
        form = await request.form()
        given, own = field(form, "csrf"), str(request.session.get("csrf", ""))
        if not own or not same(given, own):
            return render(request, "message.html", 403, title="Sign in again", said="Your session has ended.")
        return await run_in_threadpool(signed_in(lambda asked: answer(asked, form), lead=lead), request)

    return endpoint


def field(form: FormData, name: str) -> str:
    """A text field; empty if it is not there, or a file."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def same(given: str, expected: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell how much of them is."""
    return compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8"))


def door(request: Request) -> Response:
    """The page to sign in."""
    return render(request, "signin.html", asks_token=desk_of(request).token is not None, error="", name="")


async def sign_in(request: Request) -> Response:
    """Take a name and, where one is demanded, the token."""
    form, desk = await request.form(), desk_of(request)
    name, token = field(form, "name").strip(), field(form, "token").strip()
    role, error = role_of(desk, token), name_error(name)
    if role is None or error:
        error = error or "The token is wrong. It was printed where the page was started."
        asks = desk.token is not None
        return render(request, "signin.html", 403 if role is None else 422, asks_token=asks, error=error, name=name)
    request.session.clear()
    request.session.update(who=name, role=role, csrf=token_urlsafe(24))
    return RedirectResponse("/", 303)


def role_of(desk: Desk, token: str) -> str | None:
    """What a token opens; None if it is wrong."""
    if desk.lead_token is not None and same(token, desk.lead_token):
        return LEAD
    if desk.token is not None and not same(token, desk.token):
        return None
    return LEAD if desk.lead_token is None else ANNOTATOR


def name_error(name: str) -> str:
    """What is wrong with an annotator's name, empty if nothing: it must look like what it is on every page."""
    if not name or len(name) > LONGEST_NAME:
        return f"Give a name of 1 to {LONGEST_NAME} characters: your labels are kept under it."
    if any(unicodedata.category(sign)[0] == "C" for sign in name):
        return "The name has characters that cannot be seen. Use letters, digits and spaces."
    return ""


def sign_out(request: Request, form: FormData) -> Response:
    """End the session."""
    request.session.clear()
    return RedirectResponse("/signin", 303)
