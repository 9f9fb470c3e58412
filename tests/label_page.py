"""The annotators' page on a real server, and someone who uses it over HTTP, for tests."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from labels.page import Desk, Evidence, create_app
from labels.store import Candidate, Store, add_draw
from labels.store.tables import Item

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)"(?: id="spans")? value="([^"]*)">')


def text_of(item: Item) -> str:
    assert item.text is not None
    return item.text


def find_robots(text: str) -> list[Evidence]:
    """Stands for a model: it marks the word "robot"."""
    return [Evidence(m.start(), m.end(), "adverse", 0.9) for m in re.finditer("robot", text)]


@contextmanager
def serving(store: Store, **options: Any) -> Iterator[str]:
    """Serve the pages over a store from a thread; gives their address."""
    desk = Desk(**{"store": store, "read_text": text_of, "find_evidence": find_robots, "secret": "s" * 32} | options)
    config = uvicorn.Config(create_app(desk, ["localhost", "127.0.0.1"]), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def draw_texts(store: Store, texts: list[str], name: str = "round", **more: Any) -> None:
    """Put a draw of these texts into the store."""
    candidates = [
        Candidate(f"doc-{i}", f"source-{i}", text=text, scores={"adverse": 0.25}) for i, text in enumerate(texts)
    ]
    add_draw(store, name, "acquired", candidates, method="margin", **more)


class Annotator(httpx.Client):
    """Someone with a browser without scripts, signed in."""

    def __init__(self, base: str, name: str, token: str = "") -> None:
        super().__init__(base_url=base, follow_redirects=True, headers={"origin": base}, timeout=60)
        self.page = self.post("/signin", data={"name": name, "token": token})

    def look(self, path: str = "/draw/1") -> str:
        """Load a page."""
        self.page = self.get(path)
        return self.page.text

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the page's main form."""
        form = self.page.text.split('<form id="judgement"')[-1].split("</form>")[0]
        return dict(HIDDEN.findall(form))

    @property
    def undo_fields(self) -> dict[str, str]:
        """The hidden fields of the form that undoes."""
        return dict(HIDDEN.findall(self.page.text.split("/undo")[-1]))

    def submit(self, path: str = "/draw/1/label", **fields: str) -> httpx.Response:
        """Send the page's form with these choices."""
        self.page = self.post(path, data=self.hidden | fields)
        return self.page
