"""Remote stores that fail, by a server that really does: one line with the URL, what happened and what to do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from reading import read

from jobs.main import main
from pipeline import remote, storage
from pipeline.scan import plan_scan

LINES = b'{"text": "a document far away"}\n' * 2000


async def answer(request: web.Request) -> web.StreamResponse:
    name = request.path.lstrip("/")
    if name.isdigit():
        return web.Response(status=int(name), text="an explanation\nof many lines")
    if name == "hangs.jsonl":
        await asyncio.sleep(5)
    if name == "breaks.jsonl" and request.method == "GET":
        response = web.StreamResponse(headers={"Content-Length": str(len(LINES))})
        await response.prepare(request)
        await response.write(LINES[:100])
        assert request.transport
        request.transport.abort()
        return response
    if name == "loops":
        raise web.HTTPFound("/loops")
    if name == "folder/":
        return web.Response(text='<a href="/folder/one.jsonl">1</a> <a href="two.jsonl">', content_type="text/html")
    if name.endswith(".jsonl"):
        return web.Response(body=LINES, headers={"ETag": '"x"'})
    raise web.HTTPNotFound


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that does what the path says."""
    loop, ports = asyncio.new_event_loop(), []
    started = threading.Event()

    async def start() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        started.set()

    def serve() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(10)
    yield f"http://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.mark.parametrize(
    ("path", "kind", "what"),
    [
        ("403", PermissionError, "access denied (the server answered 403): give credentials"),
        ("401", PermissionError, "access denied (the server answered 401)"),
        ("404", FileNotFoundError, "no such file (the server answered 404)"),
        ("410", FileNotFoundError, "no such file"),
        ("429", OSError, "fewer workers"),
        ("500", OSError, "the server answered 500; run again later"),
        ("503", OSError, "the server answered 503; run again later"),
        ("400", OSError, "the server answered 400; check the URL"),
        ("loops", OSError, "run again"),
    ],
)
def test_what_servers_answer(server: str, path: str, kind: type[OSError], what: str) -> None:
    url = f"{server}/{path}"
    for act in (storage.list_files, storage.open_input, storage.read_bytes):
        with pytest.raises(kind) as caught:
            act(url)
        message = str(caught.value)
        assert message.startswith(f"{url}: ") and what in message and "\n" not in message
        assert kind is FileNotFoundError or not isinstance(caught.value, FileNotFoundError)


def test_a_refused_connection_is_no_missing_file() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.jsonl"
    for act in (storage.list_files, storage.open_input, storage.exists):
        with pytest.raises(ConnectionError, match=f"^{url}: no connection .*check the host's name, port and network$"):
            act(url)
    with pytest.raises(ConnectionError, match="no connection"):
        storage.list_files("http://no-such-host.invalid/a.jsonl")


def test_a_server_that_hangs(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS_TO_WAIT", 0.3)
    with pytest.raises(TimeoutError, match=r"hangs\.jsonl: no answer in time"):
        storage.list_files(f"{server}/hangs.jsonl")


def test_a_connection_that_breaks_is_no_end_of_the_shard(server: str) -> None:
    with pytest.raises(OSError, match=r"breaks\.jsonl: "):
        read(f"{server}/breaks.jsonl")


def test_files_and_folders_over_http(server: str) -> None:
    assert len(read(f"{server}/a.jsonl", size=len(LINES)).texts) == 2000
    assert storage.exists(f"{server}/a.jsonl") and not storage.exists(f"{server}/nothing")
    assert [task.name for task in plan_scan([f"{server}/folder/"])] == ["one.jsonl", "two.jsonl"]
    assert [task.name for task in plan_scan([f"{server}/a.jsonl?token=1"])] == ["a.jsonl?token=1"]


def test_the_command_says_it_in_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, what in (
        ([f"{server}/403", "--out", str(tmp_path)], "access denied"),
        ([f"{server}/a.jsonl", "--out", f"{server}/out"], "over HTTP files can only be read"),
    ):
        monkeypatch.setattr("sys.argv", ["tropescan", "scan", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and error.startswith("Error: http://") and what in error
        assert error.count("\n") == 1


def test_nothing_is_written_over_http(server: str) -> None:
    with pytest.raises(OSError, match="over HTTP files can only be read"), storage.whole_file(f"{server}/x"):
        raise AssertionError("this is not reached")
