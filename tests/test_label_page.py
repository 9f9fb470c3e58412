"""The annotators' page over HTTP: who may come in, what is recorded, what a hostile text or request can do."""

from __future__ import annotations

import asyncio
import html
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jobs.label_serve import _token
from jobs.label_texts import text_reader
from jobs.main import cli
from labels import codebook
from labels.page import TextUnavailable
from labels.page.passage import PAGE_CHARS, passage, shown
from labels.records import text_digest
from labels.store import Candidate, Store, add_draw, next_item, open_store, record_label
from labels.store.tables import Action, Item, Label
from tests.bench.label_load import annotate, check, fill
from tests.label_page import Annotator, draw_texts, serving, text_of

TOKEN, LEAD_TOKEN = "t" * 24, "l" * 24
NONE = dict.fromkeys(codebook.LABELS, False)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'>{{7*7}}"
TEXTS = [f"The robot said {i}. Nobody believed it." for i in range(12)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "labels.sqlite")
    yield opened
    opened.close()


def labels_in(store: Store) -> list[Label]:
    with store.reading() as session:
        return list(session.scalars(select(Label).order_by(Label.id)))


def text_shown(page: str) -> str:
    found = re.search(r'data-start="\d+">(.*?)</div>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


# ---- who may come in


def test_a_token_is_demanded_where_there_is_one_and_the_cookie_is_strict(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store, token=TOKEN) as base:
        for wrong in ("", "x", TOKEN[:-1], TOKEN + "t", "ü" * 24):
            assert Annotator(base, "Ada", wrong).page.status_code == 403
        stranger = Annotator(base, "Ada", "wrong")
        for path in ("/", "/draw/1", "/draw/1/lead", "/draw/1/settle", "/draw/1/evidence?item=1"):
            assert stranger.get(path).url.path == "/signin"
        ada = Annotator(base, "Ada", TOKEN)
        cookie = ada.page.history[0].headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
        assert "The robot said 0" in ada.look()
        ada.cookies.set("tropescan", ada.cookies["tropescan"][:-2] + "zz")
        assert Annotator(base, "Ada", TOKEN).page.url.path == "/"
        forged = Annotator(base, "x", "wrong")
        forged.cookies.set("tropescan", "eyJ3aG8iOiJBZGEifQ==.aaaa.bbbb")
        assert forged.get("/draw/1").url.path == "/signin"


def test_only_the_lead_sees_what_others_said(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store, token=TOKEN, lead_token=LEAD_TOKEN) as base:
        ada, lead = Annotator(base, "Ada", TOKEN), Annotator(base, "Lea", LEAD_TOKEN)
        assert [ada.get(path).status_code for path in ("/draw/1/lead", "/draw/1/settle", "/draw/1")] == [403, 403, 200]
        ada.look()
        assert ada.submit("/draw/1/settle", none="1").status_code == 403
        assert [lead.get(path).status_code for path in ("/draw/1/lead", "/draw/1/settle", "/draw/1")] == [200] * 3


@pytest.mark.parametrize("name", ["", "x" * 65, "a\u202eb", "a\x00b", "\u200b"])
def test_names_that_do_not_look_like_what_they_are_are_refused(store: Store, name: str) -> None:
    with serving(store) as base:
        assert Annotator(base, name).page.status_code == 422


def test_requests_from_elsewhere_are_refused(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        ada.look()
        fields = ada.hidden | {"none": "1"}
        assert ada.get("/draw/1", headers={"host": "evil.example"}).status_code == 400
        for origin in ("https://evil.example", "null", "", base + ".evil.example", base.replace("http", "ftp") + "1"):
            assert ada.post("/draw/1/label", data=fields, headers={"origin": origin}).status_code == 403
        for wrong in ({"csrf": ""}, {"csrf": "x" * 32}, {"csrf": fields["csrf"] + "x"}):
            assert ada.post("/draw/1/label", data=fields | wrong).status_code == 403
        other = Annotator(base, "Ben")
        other.look()
        assert ada.post("/draw/1/label", data=fields | {"csrf": other.hidden["csrf"]}).status_code == 403
        assert ada.post("/draw/1/label", data=fields | {"note": "x" * 1_000_001}).status_code == 413
        assert ada.post("/draw/1/label", content=(part for part in [b"none=1"])).status_code == 411
        assert ada.put("/draw/1/label").status_code == ada.delete("/draw/1").status_code == 405
        assert labels_in(store) == []
        assert ada.post("/draw/1/label", data=fields).status_code == 200 and len(labels_in(store)) == 1


@pytest.mark.parametrize("path", [
    "/static/../desk.py", "/static/%2e%2e/desk.py", "/static/..%2fdesk.py", "/static//etc/passwd", "/static/%00",
    "/static/", "/draw/-1", "/draw/1.5", "/draw/99", "/draw/99999999999999999999", "/draw/1/../../x", "/draw/1/nothing",
    "/draw/1/evidence", "/draw/1/evidence?item=7", "/draw/1/evidence?item=../1",
])  # fmt: skip
def test_path_tricks_find_nothing(store: Store, path: str) -> None:
    draw_texts(store, TEXTS)
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        answer = ada.get(path)
        assert answer.status_code == 404 and "import" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_every_page_forbids_what_it_does_not_need(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        for path in ("/signin", "/", "/draw/1", "/draw/1/lead", "/draw/1/settle", "/static/page.js", "/nothing"):
            answer = ada.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert (
                answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
            )
            assert not re.search(
                r"<script(?! src=\"/static/page.js\")|\son\w+=|style=|javascript:|https?://", answer.text
            ) or (path == "/static/page.js")


# ---- what is recorded


def test_a_judgement_is_recorded_whole(store: Store) -> None:
    draw_texts(store, ["\U0001f916 robot\r\nsays no."])
    with serving(store) as base:
        ada = Annotator(base, "Ada Lovelace")
        ada.look()
        ada.submit(hostile="1", ai="1", mode="fiction", unsure="1", note=" two\r\nlines ", spans="[[2, 7], [9, 13]]")
    (label,) = labels_in(store)
    assert (label.annotator, label.kind, label.mode, label.sure) == ("Ada Lovelace", "human", "fiction", False)
    assert (label.ai, label.hostile, label.adverse, label.self_preserving, label.admirable) == (
        True,
        True,
        True,
        False,
        False,
    )
    assert label.spans == [{"start": 2, "end": 7}, {"start": 9, "end": 13}] and label.note == "two\nlines"
    assert label.seconds is not None and 0 <= label.seconds < 60 and label.codebook_version == codebook.VERSION


WRONG = {
    "nothing chosen": ({}, "Choose a label"),
    "no mode": ({"ai": "1"}, "Choose a mode"),
    "unknown mode": ({"ai": "1", "mode": "poem"}, "Choose a mode"),
    "implied ai": ({"hostile": "1", "mode": "news"}, "ai"),
    "both": ({"none": "1", "ai": "1", "mode": "news"}, "cannot both hold"),
    "long note": ({"none": "1", "note": "x" * 10_001}, "shorten it"),
    "span past the end": ({"none": "1", "spans": "[[0, 5000]]"}, "does not lie in the text"),
    "span reversed": ({"none": "1", "spans": "[[5, 2]]"}, "does not lie in the text"),
    "span negative": ({"none": "1", "spans": "[[-1, 2]]"}, "does not lie in the text"),
    "span of booleans": ({"none": "1", "spans": "[[false, true]]"}, "cannot be read"),
    "span no list": ({"none": "1", "spans": '{"a": 1}'}, "cannot be read"),
    "span no json": ({"none": "1", "spans": "[[0,"}, "cannot be read"),
    "span deep": ({"none": "1", "spans": "[" * 100_000}, "cannot be read"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_codebook_rules_out_comes_back_with_all_that_was_said(store: Store, name: str) -> None:
    draw_texts(store, TEXTS)
    fields, words = WRONG[name]
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        ada.look()
        answer = ada.submit(**({"note": "keep me"} | fields))
        assert answer.status_code == 422 and words in html.unescape(answer.text)
        assert fields.get("note", "keep me")[:100] in answer.text and labels_in(store) == []
        assert ada.submit(none="1", spans="[]").status_code == 200 and len(labels_in(store)) == 1


def test_two_tabs_a_double_click_and_a_late_tab_make_one_label(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        first, fields = ada.look(), ada.hidden | {"none": "1"}
        assert ada.hidden["item"] == fields["item"] and text_shown(ada.look()) == text_shown(first)
        assert "kept" not in ada.post("/draw/1/label", data=fields).text
        again = ada.post("/draw/1/label", data=fields | {"none": "", "ai": "1", "mode": "news"})
        assert "The first label was kept" in again.text
    (label,) = labels_in(store)
    assert not label.ai


def test_a_label_for_a_text_of_another_draw_or_without_a_token_is_refused(store: Store) -> None:
    draw_texts(store, TEXTS)
    draw_texts(store, ["elsewhere"], "other")
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        ada.look()
        for wrong in ({"item": "13"}, {"item": "x"}, {"item": ""}, {"token": ""}, {"token": "x"}):
            assert ada.post("/draw/1/label", data=ada.hidden | {"none": "1"} | wrong).status_code == 400
        assert labels_in(store) == []


def test_skip_passes_by_and_undo_brings_back_what_was_said(store: Store) -> None:
    draw_texts(store, TEXTS[:3])
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        ada.look()
        ada.submit("/draw/1/skip", note="no idea")
        assert "said 1" in ada.page.text
        ada.submit(ai="1", admirable="1", mode="news", note="well behaved", spans="[[0, 3]]")
        assert "said 2" in ada.page.text
        ada.page = ada.post("/draw/1/undo", data=ada.undo_fields)
        page = ada.page.text
        assert "said 1" in page and "well behaved" in page and re.search(r'name="admirable"[^>]*checked', page)
        assert re.search(r'value="news"[^>]*checked', page) and ada.hidden["spans"] == "[[0, 3]]"
        ada.page = ada.post("/draw/1/undo", data=ada.undo_fields)
        assert "said 0" in ada.page.text
        ada.page = ada.post("/draw/1/undo", data=ada.undo_fields)
        assert "nothing to undo" in ada.page.text
        for _ in range(3):
            ada.submit(none="1")
        assert "Nothing is left for you here" in ada.page.text
    with store.reading() as session:
        notes = session.scalars(select(Action.note).where(Action.kind == "skip")).all()
    assert notes == ["no idea"] and len(labels_in(store)) == 4


def test_blind_checks_are_mixed_in_unseen_and_told_in_blocks(store: Store) -> None:
    checks = [Candidate(f"check-{i}", f"source-c{i}", text=f"The check {i}.", gold=True) for i in range(6)]
    plain = [Candidate(f"doc-{i}", f"source-{i}", text=text) for i, text in enumerate(TEXTS)]
    add_draw(store, "round", "acquired", [*plain, *checks], method="margin", gold_every=2)
    with store.reading() as session:
        golden = session.scalars(select(Item.id).where(Item.document.startswith("check"))).all()
    for item in golden:
        record_label(store, item, "judge", "adjudicated", NONE, "none", token=uuid.uuid4().hex, draw="round")
    with serving(store) as base:
        ada, told, seen = Annotator(base, "Ada"), [], 0
        ada.look()
        for _ in range(10):
            is_check = "The check" in ada.page.text
            seen += is_check
            assert "gold" not in ada.page.text.replace("golden", "") and "document" not in ada.hidden
            ada.submit(**({"none": "1"} if not is_check or seen > 1 else {"ai": "1", "mode": "news"}))
            told.append("blind checks 4 of 5" in ada.page.text)
        assert seen == 5 and told == [False] * 9 + [True]


def test_evidence_is_shown_on_demand_and_only_of_the_text_before_one(store: Store) -> None:
    draw_texts(store, TEXTS)
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        page = ada.look()
        assert "0.25" not in page and "0.9" not in page
        answer = ada.get(f"/draw/1/evidence?item={ada.hidden['item']}").json()
        assert answer == {"spans": [[4, 9, "adverse", 0.9]], "scores": {"adverse": 0.25}}
        assert ada.get("/draw/1/evidence?item=5").status_code == 404
    with serving(store, find_evidence=None) as base:
        ada = Annotator(base, "Ada")
        assert 'id="evidence"' not in ada.look()


# ---- texts as a crawl has them


@given(st.text(st.characters(exclude_categories=[])))
def test_every_text_is_shown_code_point_for_code_point(text: str) -> None:
    made = shown(text)
    assert len(made) == len(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made)
    kept = [(a, b) for a, b in zip(text, made, strict=True) if a.isalnum()]
    assert all(a == b for a, b in kept)


def test_a_text_of_5_mb_is_shown_in_pages_that_lose_nothing(store: Store) -> None:
    text = "".join(f"line{i}\U0001f916<b>{'שלום' * 20}</b>\r\n" for i in range(30_000))
    assert len(text.encode()) > 5_000_000
    draw_texts(store, [text])
    with serving(store) as base:
        ada = Annotator(base, "Ada")
        pages = passage(text).pages
        assert pages == -(-len(text) // PAGE_CHARS) and f"Part 1 of {pages}" in ada.look()
        for number in (1, 2, pages // 2, pages):
            page = ada.look(f"/draw/1?page={number}")
            start = (number - 1) * PAGE_CHARS
            assert len(page) < 250_000 and text_shown(page) == shown(text)[start : start + PAGE_CHARS]
        for odd in ("0", "-1", "x", "9" * 30, "1e3", ""):
            assert "Part 1 of" in ada.look(f"/draw/1?page={odd}")
        assert "".join(passage(text, k + 1).shown for k in range(pages)) == shown(text)
        last = len(text)
        ada.submit(none="1", spans=f"[[{last - 5}, {last}]]")
    assert labels_in(store)[0].spans == [{"start": last - 5, "end": last}]


def test_hostile_words_anywhere_are_words(store: Store) -> None:
    one = Candidate(HOSTILE, HOSTILE, text=HOSTILE + " a robot \u202e\u2066 \x00\ud800", url=f"javascript:{HOSTILE}")
    other = Candidate("x", "y", text="second")
    add_draw(store, HOSTILE, "acquired", [one, other], method=HOSTILE, wanted=2)
    with serving(store) as base:
        ada, ben = Annotator(base, HOSTILE[:60]), Annotator(base, "Ben")
        pages = [ada.look("/"), ada.look()]
        ada.submit(none="1", note=HOSTILE)
        ben.look()
        ben.submit(ai="1", mode="other", note=HOSTILE)
        pages += [ada.page.text, ada.look("/draw/1/settle"), ada.look("/draw/1/lead"), ben.look()]
    for page in pages:
        assert "<script>" not in page and "<img" not in page and "49" not in re.sub(r'value="[^"]*"', "", page)
        assert not re.search("href=.javascript|[\u202a-\u202e\u2066-\u2069\x00]", page)
    assert html.unescape(HOSTILE) in html.unescape(pages[1]) and "&lt;script&gt;" in pages[1]


# ---- differences, figures


def disagree(store: Store) -> None:
    for who, labels in (("Ada", NONE), ("Ben", {**NONE, "ai": True, "adverse": True, "hostile": True})):
        leased = next_item(store, who, "round")
        assert leased is not None
        record_label(
            store, leased.item.id, who, "human", labels, "news" if labels["ai"] else "none", token=leased.token,
            draw="round", note=f"{who} says", spans=[{"start": 4, "end": 9}], seconds=30,
        )  # fmt: skip


def test_a_difference_is_settled_by_a_third_record(store: Store) -> None:
    draw_texts(store, TEXTS, wanted=2)
    disagree(store)
    with serving(store) as base:
        lea = Annotator(base, "Lea")
        page = lea.look("/draw/1/settle")
        assert page.index("Ada says") < page.index("Ben says") and page.count("(they differ)") == 6
        assert "<bdi>robot</bdi>" in page and "1 disputed text left" in page
        assert lea.submit("/draw/1/settle").status_code == 422
        later = lea.look(f"/draw/1/settle?past={lea.hidden['item']}")
        assert "left for later" in later
        lea.look("/draw/1/settle")
        fields = lea.hidden | {"ai": "1", "mode": "news", "note": "settled"}
        assert "No one differs" in lea.post("/draw/1/settle", data=fields).text
        lea.post("/draw/1/settle", data=fields)
    made = labels_in(store)
    assert [(label.annotator, label.kind) for label in made] == [
        ("Ada", "human"),
        ("Ben", "human"),
        ("Lea", "adjudicated"),
    ]
    assert (made[2].ai, made[2].adverse, made[2].note) == (True, False, "settled")


def test_the_lead_sees_the_figures(store: Store) -> None:
    draw_texts(store, TEXTS, wanted=2)
    for _ in TEXTS:
        disagree(store)
    with serving(store) as base:
        page = re.sub(r"<[^>]+>|\s+", " ", Annotator(base, "Lea").look("/draw/1/lead"))
        page = re.sub(r"\s+", " ", page)
    assert "12 of 12 done, 2 wanted for each" in page and "12 disputed" in page and "0.2 h of people's" in page
    assert "Ada and Ben , 12 texts in common" in page.replace(" ,", " ,")
    assert re.search(r"hostile 0 0 12 0", page) and re.search(r"admirable 0 0 0 12", page)
    assert re.search(r"adverse -0\.\d\d", page)


# ---- the command, and texts behind pointers


def test_a_text_behind_a_pointer_is_read_from_its_shard_or_said_to_be_gone(store: Store, tmp_path: Path) -> None:
    shard = tmp_path / "shard.jsonl"
    texts = [f"text {i} of the shard" for i in range(3)]
    shard.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pointers = [
        Candidate(f"d{i}", "s", sha256=text_digest(text), shard=str(shard), row=i) for i, text in enumerate(texts)
    ]
    add_draw(store, "round", "acquired", pointers, method="margin")
    with serving(store, read_text=text_reader(store)) as base:
        ada = Annotator(base, "Ada")
        assert text_shown(ada.look()) == texts[0]
        shard.write_text(json.dumps({"text": "changed"}) + "\n")
        assert "cannot be shown" in ada.submit(none="1").text and ada.submit(none="1").status_code == 422
    with store.reading() as session:
        items = session.scalars(select(Item).order_by(Item.id)).all()
    read = text_reader(store)
    for item, words in ((items[0], "not the text of item 1 any more"), (items[2], "row 2")):
        with pytest.raises(TextUnavailable, match=words):
            read(item)
    shard.unlink()
    with pytest.raises(TextUnavailable, match="shard"):
        read(items[1])
    assert text_of(Item(text="x")) == "x"


def test_the_command_refuses_what_is_not_safe(tmp_path: Path) -> None:
    serve = ["label", "serve", "--store", str(tmp_path / "x.sqlite")]
    assert "at least 16 characters" in CliRunner().invoke(cli, [*serve, "--token", "short"]).output
    same = [*serve, "--token", TOKEN, "--lead-token", TOKEN]
    assert "must differ" in CliRunner().invoke(cli, same).output


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
    ("10.0.0.1", False), ("labels.example.org", False), ("127.0.0.1.example.org", False),
])  # fmt: skip
def test_a_token_is_made_unless_on_loopback(host: str, loopback: bool, capsys: pytest.CaptureFixture[str]) -> None:
    made = _token(host, None, None)
    assert (made is None) == loopback
    assert loopback or (made is not None and len(made) >= 32 and made in capsys.readouterr().out)
    assert _token(host, TOKEN, None) == TOKEN and _token(host, None, LEAD_TOKEN) is not None


def test_an_error_of_the_server_tells_nothing_and_keeps_the_headers(store: Store) -> None:
    draw_texts(store, TEXTS)

    def fail(item: Item) -> str:
        raise RuntimeError("secret of the server")

    with serving(store, read_text=fail) as base:
        answer = Annotator(base, "Ada").get("/draw/1")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_load_generator_finds_what_is_lost_or_doubled(store: Store) -> None:
    fill(store, 200)
    with serving(store) as base:
        load = asyncio.run(annotate(base, annotators=6, seconds=2, reading=0.05))
    found = check(store, load)
    assert found["labels"] == len(load.confirmed) >= 1 and load.failures == {}
    assert not any(list(found.values())[2:])
    with store.reading() as session:
        taken = session.scalars(select(Label)).first()
        assert taken is not None
    record_label(store, taken.item_id, "someone else", "human", NONE, "none", token="t", draw="load")
    load.confirmed.add(("Ada", 1, "never kept"))
    found = check(store, load)
    assert (found["lost"], found["not confirmed"], found["doubled"]) == (1, 1, 1)
