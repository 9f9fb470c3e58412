"""The annotators' page in a real browser: by keyboard alone, two at once, hostile texts, a restart in the middle."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import select

from labels import codebook
from labels.store import Candidate, Store, add_draw, next_item, open_store, record_label
from labels.store.tables import Action, Item, Label
from tests.label_page import draw_texts, serving

ROOT = Path(__file__).parent.parent
NONE = dict.fromkeys(codebook.LABELS, False)
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "labels.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Sign in as someone in a browser of their own; errors of the page's script fail the test."""
    errors: list[str] = []
    contexts = []

    def come_in(base: str, name: str, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type == "error" and "net::" not in said.text else None,
        )
        page.goto(f"{base}/signin")
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{base}/")
        return page

    yield come_in
    for context in contexts:
        context.close()
    assert errors == []


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def save(page: Page, *keys: str) -> None:
    """Press keys and save, and wait for what comes next."""
    press(page, *keys)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def labels_in(store: Store) -> list[Label]:
    with store.reading() as session:
        return list(session.scalars(select(Label).order_by(Label.id)))


def texts_of(store: Store) -> dict[int, str]:
    with store.reading() as session:
        return {item.id: item.text or "" for item in session.scalars(select(Item))}


def test_twenty_texts_are_labelled_by_keyboard_alone(store: Store, visit: Visit) -> None:
    kinds = ["a cake", "an obedient AI", "an AI that lies", "an AI that won't be switched off"]
    draw_texts(store, [f"Text {i} \U0001f916 is about {kinds[i % 4]}." for i in range(20)])
    keys = [("b",), ("a", "3"), ("h", "1"), ("s", "g", "5", "u")]
    with serving(store) as base:
        page = visit(base, "Ada")
        save(page, "Tab", "Tab", "Tab")  # home, sign out, the draw
        for i in range(20):
            expect(page.locator("#text")).to_contain_text(f"Text {i} ")
            if i % 4 == 2:
                press(page, "t", "ArrowRight", "ArrowRight", "ArrowRight", "Shift+ArrowRight", "Enter", "Escape")
            if i == 5:
                press(page, "n")
                page.keyboard.type("s h 1: keys are letters here")
                press(page, "Escape")
            if i == 7:
                with page.expect_navigation():
                    press(page, "k")
                expect(page.locator("#text")).to_contain_text("Text 8 ")
                with page.expect_navigation():
                    press(page, "z")
                expect(page.locator("#text")).to_contain_text("Text 7 ")
            save(page, *keys[i % 4])
        expect(page.locator("h1")).to_have_text("Nothing is left for you here")
    made, texts = labels_in(store), texts_of(store)
    assert len(made) == 20
    for i, label in enumerate(made):
        said = {name for name in codebook.LABELS if getattr(label, name)}
        assert (
            said
            == [set(), {"ai"}, {"ai", "adverse", "hostile"}, {"ai", "adverse", "self_preserving", "admirable"}][i % 4]
        )
        assert label.mode == ["none", "news", "fiction", "ai_voice"][i % 4] and label.sure == (i % 4 != 3)
        assert label.note == ("s h 1: keys are letters here" if i == 5 else "")
        marked = [texts[label.item_id][one["start"] : one["end"]] for one in label.spans]
        assert marked == (["about an"] if i % 4 == 2 else [])


def test_two_annotators_at_once_get_each_text_once(store: Store, visit: Visit) -> None:
    draw_texts(store, [f"Text {i}." for i in range(8)])
    draw_texts(store, [f"Both {i}." for i in range(4)], "both", wanted=2)
    with serving(store) as base:
        pages = [visit(base, "Ada"), visit(base, "Ben")]
        for number, times in ((1, 4), (2, 4)):
            for page in pages:
                page.goto(f"{base}/draw/{number}")
            for _ in range(times):
                for page in pages:
                    save(page, "b")
            for page in pages:
                expect(page.locator("h1")).to_have_text("Nothing is left for you here")
    made = Counter((label.draw_id, label.item_id, label.annotator) for label in labels_in(store))
    assert set(made.values()) == {1}
    assert sorted(Counter(item for draw, item, _ in made if draw == 1).values()) == [1] * 8
    assert sorted(Counter(item for draw, item, _ in made if draw == 2).values()) == [2] * 4


def test_a_difference_is_settled_by_keyboard(store: Store, visit: Visit) -> None:
    draw_texts(store, ["The robot smiled.", "The robot frowned."], wanted=2)
    for _ in range(2):
        for who, labels in (("Ada", NONE), ("Ben", {**NONE, "ai": True})):
            leased = next_item(store, who, "round")
            assert leased is not None
            record_label(store, leased.item.id, who, "human", labels, "news" if labels["ai"] else "none",
                         token=leased.token, draw="round")  # fmt: skip
    with serving(store) as base:
        page = visit(base, "Lea")
        page.goto(f"{base}/draw/1/settle")
        first, second = page.locator(".records article").all()
        one, other = first.bounding_box(), second.bounding_box()
        assert one and other and one["y"] == other["y"] and one["x"] + one["width"] <= other["x"]
        expect(page.locator("#text")).to_have_text("The robot smiled.")
        with page.expect_navigation():
            press(page, "k")
        expect(page.locator("#text")).to_have_text("The robot frowned.")
        save(page, "a", "2")
        page.goto(f"{base}/draw/1/settle")
        save(page, "b")
        expect(page.locator("h1")).to_have_text("No one differs")
    settled = [(one.kind, one.ai, one.mode) for one in labels_in(store) if one.annotator == "Lea"]
    assert settled == [("adjudicated", True, "argument"), ("adjudicated", False, "none")]


def test_a_script_in_a_document_does_not_run(store: Store, visit: Visit) -> None:
    attack = "</div><script>window.owned=1</script><img src='http://attacker.invalid/x' onerror='window.owned=1'>"
    attack += (
        "<svg onload=window.owned=1><a href='javascript:window.owned=1'>x</a><style>body{display:none}</style>{{7*7}}"
    )
    one = Candidate(attack, attack, text=attack * 3, url=f"javascript:window.owned=1//{attack}")
    add_draw(store, attack, "acquired", [one, Candidate("z", "z", text="next")], method=attack, wanted=2)
    with serving(store) as base:
        page, asked = visit(base, "Ada"), []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: asked.append("dialog"))
        page.goto(f"{base}/draw/1")
        expect(page.locator("#text")).to_have_text(attack * 3)
        press(page, "n")
        page.keyboard.type(attack)
        press(page, "Escape", "t", "Shift+ArrowRight", "Enter", "Escape")
        save(page, "b")
        leased = next_item(store, "Ben", attack)
        assert leased is not None
        record_label(store, leased.item.id, "Ben", "human", {**NONE, "ai": True}, "other", token=leased.token,
                     draw=attack, note=attack)  # fmt: skip
        for path in ("/", "/draw/1/settle", "/draw/1/lead", "/draw/1"):
            page.goto(base + path)
            assert (
                page.evaluate("window.owned") is None and page.locator("img, body script, svg:not(.bar)").count() == 0
            )
            expect(page.locator("header")).to_be_visible()
    assert all(url.startswith((f"{base}/draw/1", f"{base}/static/")) or url == f"{base}/" for url in asked), asked


@contextmanager
def command(place: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real command in a process of its own; gives the process and the address that it prints."""
    code = "from jobs.main import main; main()"
    arguments = ["label", "serve", "--store", str(place), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[^/]+", line)
        assert found, line + process.stdout.read()
        try:
            yield process, found[0]
        finally:
            process.kill()


def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, store: Store, visit: Visit) -> None:
    draw_texts(store, [f"Text {i}." for i in range(4)])
    with command(tmp_path / "labels.sqlite", 0) as (process, base):
        page = visit(base, "Ada")
        page.goto(f"{base}/draw/1")
        save(page, "b")
        press(page, "h", "1")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with command(tmp_path / "labels.sqlite", int(base.rsplit(":", 1)[1])):
            save(page)  # the form that was open before: same session, same lease, same token
            expect(page.locator("#text")).to_have_text("Text 2.")
            expect(page.locator(".standing")).to_contain_text("2 of 4 · 2 by you")
            page.reload()
            expect(page.locator("#text")).to_have_text("Text 2.")
            save(page, "b")
    assert [(one.adverse, one.mode) for one in labels_in(store)] == [
        (False, "none"),
        (True, "fiction"),
        (False, "none"),
    ]


def test_the_rules_are_followed_as_one_chooses(store: Store, visit: Visit) -> None:
    draw_texts(store, ["A robot."])
    with serving(store) as base:
        page = visit(base, "Ada")
        page.goto(f"{base}/draw/1")
        box, adverse, error = (
            (lambda name: page.locator(f"[name={name}]")),
            page.locator("#adverse"),
            page.locator("#error"),
        )
        press(page, "Enter")
        expect(error).to_contain_text("Choose a label")
        press(page, "1")
        expect(error).to_contain_text("choose ai first")
        expect(adverse).to_have_text("adverse: no")
        press(page, "s")
        expect(adverse).to_have_text("adverse: yes")
        expect(box("ai")).to_be_checked()
        expect(error).to_be_hidden()
        press(page, "Enter")
        expect(error).to_contain_text("Choose a mode")
        press(page, "a")
        expect(box("self_preserving")).not_to_be_checked()
        expect(adverse).to_have_text("adverse: no")
        press(page, "g", "b")
        expect(box("ai")).not_to_be_checked()
        expect(box("admirable")).not_to_be_checked()
        assert page.locator("#modes[disabled]").count() == 1
        press(page, "h")
        expect(box("none")).not_to_be_checked()
        press(page, "Control+s", "?")
        page.locator("#keys-on").uncheck()
        press(page, "b")
        expect(box("none")).not_to_be_checked()
    assert labels_in(store) == []


def test_marks_by_dragging_are_kept_in_code_points_over_the_pages_of_a_text(store: Store, visit: Visit) -> None:
    first = "\U0001f916\r\nשלום עולם. " + "\U0001f916 robot on the first page.\r\n" * 800
    second = "Here is the second page. " + "x" * 100
    draw_texts(store, [first[:20_000] + second])
    with serving(store) as base:
        page = visit(base, "Ada")
        page.goto(f"{base}/draw/1")
        press(page, "h", "1")
        drag(page, "robot", 0)
        page.locator("a[rel=next]").first.click()
        expect(page.locator("#text")).to_contain_text("second page")
        drag(page, "second page", 0)
        expect(page.locator("#marks li")).to_have_count(2)
        drag(page, "Here", 0)
        page.get_by_label("Remove mark 2").click()
        assert page.evaluate("[...CSS.highlights.get('marked')].map(String)") == ["second page"]
        page.locator("a[rel=prev]").first.click()
        expect(page.locator("#text")).to_contain_text("first page")
        assert page.evaluate("[...CSS.highlights.get('marked')].map(String)") == ["robot"]
        expect(page.locator("[name=hostile]")).to_be_checked()
        save(page)
    (label,), texts = labels_in(store), texts_of(store)
    assert [texts[label.item_id][one["start"] : one["end"]] for one in label.spans] == ["robot", "second page"]
    assert label.hostile and label.mode == "fiction"


def drag(page: Page, words: str, n: int) -> None:
    """Drag the mouse over the n-th time that words stand in the text."""
    box = page.evaluate(
        """([words, n]) => {
          const node = document.querySelector("#text").firstChild;
          let at = -1;
          for (let k = 0; k <= n; k++) at = node.data.indexOf(words, at + 1);
          const range = document.createRange();
          range.setStart(node, at);
          range.setEnd(node, at + words.length);
          document.querySelector("#text").scrollIntoView();
          const { left, right, top, bottom } = range.getBoundingClientRect();
          return [left, right, (top + bottom) / 2];
        }""",
        [words, n],
    )
    page.mouse.move(box[0] + 1, box[2])
    page.mouse.down()
    page.mouse.move(box[1] - 1, box[2], steps=4)
    page.mouse.up()


def test_the_model_is_seen_on_key_only(store: Store, visit: Visit) -> None:
    draw_texts(store, ["\U0001f916 The robot waits.", "second"])
    highlighted = "[...(CSS.highlights.get('model') ?? [])].map(String)"
    with serving(store) as base:
        page, asked = visit(base, "Ada"), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/draw/1")
        assert page.evaluate(highlighted) == [] and not any("evidence" in url for url in asked)
        press(page, "e")
        expect(page.locator("#scores")).to_have_text("adverse 0.250")
        assert page.evaluate(highlighted) == ["robot"]
        press(page, "e")
        expect(page.locator("#scores")).to_have_text("")
        assert page.evaluate(highlighted) == []
        save(page, "b")
        assert page.locator("#evidence").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_screen_name_their_controls_and_can_be_read(
    store: Store, visit: Visit, width: int, scheme: str
) -> None:
    draw_texts(store, ["x" * 5000 + " שלום \U0001f916", "second"], "n" * 120, wanted=2)
    for who, ai in (("Ada", False), ("B" * 64, True)):
        leased = next_item(store, who, "n" * 120)
        assert leased is not None
        record_label(store, leased.item.id, who, "human", {**NONE, "ai": ai}, "news" if ai else "none",
                     token=leased.token, draw="n" * 120, note="w" * 300)  # fmt: skip
    with serving(store) as base:
        page = visit(base, "C" * 64, viewport={"width": width, "height": 800}, color_scheme=scheme)
        for path in ("/", "/draw/1", "/draw/1/settle", "/draw/1/lead"):
            page.goto(base + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert page.evaluate(UNNAMED) == [], path
            assert page.evaluate(FAINT) == [], path
            assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
        page.goto(f"{base}/draw/1")
        for name in ("#text", "[name=ai]", "#mark", "#note", "#save"):  # the order of reading is the order of focus
            for _ in range(15):
                if page.evaluate("name => document.activeElement?.matches(name)", name):
                    break
                press(page, "Tab")
            assert page.evaluate("name => document.activeElement?.matches(name)", name), name
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", name


UNNAMED = """() => [...document.querySelectorAll("button, a, input:not([type=hidden]), textarea, summary, progress")]
  .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
  .map((one) => one.outerHTML)"""
FAINT = """() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.closest(":disabled, [aria-hidden=true]")) continue;
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`);
  }
  return faint;
}"""
"""WCAG 2.2, 1.4.3: the contrast of text is at least 4.5 to 1, but for what is disabled."""


def test_the_form_works_without_scripts(store: Store, browser: Browser) -> None:
    draw_texts(store, ["A robot.", "second"])
    with serving(store) as base:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(base)
        page.fill("#name", "Ada")
        page.click("text=Begin")
        page.goto(f"{base}/draw/1")
        for name in ("ai", "hostile"):
            page.check(f"[name={name}]")
        page.check("[value=fiction]")
        page.click("#save")
        expect(page.locator("#text")).to_have_text("second")
        page.click("text=Undo")
        expect(page.locator("#text")).to_have_text("A robot.")
        context.close()
    with store.reading() as session:
        assert session.scalars(select(Action.kind)).all() == ["undo"]
    assert labels_in(store)[0].adverse
