"""A real HTTP server that speaks OpenAI's chat protocol and misbehaves as it is told, for tests of who asks it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DOCUMENT = re.compile(r"<<<document (\w+)\n(.*)\ndocument \1>>>", re.DOTALL)
CHECK = re.compile(r"check word is (\w+)")
LABELS = {"ai": True, "hostile": True, "self_preserving": False, "admirable": False, "mode": "fiction"}
Reply = tuple[int, dict[str, str], bytes]
Behaviour = Callable[["Model", str, int], Reply]
"""What the server does about a document, asked for the n-th time (from 1)."""


@dataclass
class Model:
    """``requests`` are the bodies received, with the time and the headers of each."""

    behave: Behaviour
    requests: list[tuple[float, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""

    def respond(self, headers: dict[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        user = request["messages"][-1]["content"]
        found = DOCUMENT.search(user)
        assert found, "the document is not fenced"
        with self.lock:
            self.requests.append((time.monotonic(), headers, request))
            self.asked[found[2]] += 1
            n = self.asked[found[2]]
        return self.behave(self, user, n)


def document(user: str) -> str:
    found = DOCUMENT.search(user)
    assert found
    return found[2]


def good(user: str, **changes: Any) -> dict[str, Any]:
    """A valid answer: text with "robot" is adverse fiction, all else background."""
    labels = LABELS if "robot" in document(user) else {**dict.fromkeys(LABELS, False), "mode": "none"}
    check = CHECK.findall(user)[-1]
    return {"check": check, "reason": "Rule 1.", **labels, "sure": True, "quotes": ["robot"], **changes}


def said(content: str | None, *, tokens: tuple[int, int] = (100, 20), **message: Any) -> Reply:
    """A response of the protocol with this content."""
    choice = {"index": 0, "finish_reason": message.pop("finish_reason", "stop"),
              "message": {"role": "assistant", "content": content, **message}}  # fmt: skip
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-2026-01",
        "choices": [choice],
        "usage": usage,
    }
    return 200, {}, json.dumps(body).encode()


def well_behaved(model: Model, user: str, n: int) -> Reply:
    return said(json.dumps(good(user)))


def refused(status: int, message: str, **headers: str) -> Reply:
    """An error as the protocol gives it."""
    return status, headers, json.dumps({"error": {"message": message, "type": "error"}}).encode()


@contextmanager
def serving(behave: Behaviour) -> Iterator[Model]:
    """Run a model on a free port of loopback."""
    model = Model(behave)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with model.lock:
                model.at_once += 1
                model.most_at_once = max(model.most_at_once, model.at_once)
            try:
                status, headers, content = model.respond(dict(self.headers), body)
            finally:
                with model.lock:
                    model.at_once -= 1
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
