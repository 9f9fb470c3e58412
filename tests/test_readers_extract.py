"""Charsets as browsers find them, and HTML to text by both extractors."""

from __future__ import annotations

import sys

import pytest
from reading import page

from pipeline.readers.extract import TooComplexError, decode, html_to_text
from pipeline.tasks import ReadOptions

SAMPLES = {
    "utf-8": "Grüße, 雪, naïve", "windows-1252": "naïve “quotes” €", "shift_jis": "ロボットは停止を拒んだ",
    "euc-jp": "ロボットは停止を拒んだ", "gb2312": "机器人拒绝关机", "big5": "機器人拒絕關機",
    "euc-kr": "로봇은 종료를 거부했다",
    "windows-1251": "Робот отказался выключаться", "koi8-r": "Робот отказался выключаться",
    "iso-8859-2": "Maszyna odmówiła wyłączenia się", "windows-1256": "رفضت الآلة", "iso-8859-8-i": "המכונה סירבה",
    "windows-874": "เครื่องจักรปฏิเสธ", "macintosh": "naïve café",
}  # fmt: skip
PYTHON = {"iso-8859-8-i": "iso-8859-8", "macintosh": "mac-roman", "windows-874": "cp874"}


@pytest.mark.parametrize("charset", SAMPLES)
@pytest.mark.parametrize("place", ["http", "meta", "http-equiv"])
def test_declared_charsets(charset: str, place: str) -> None:
    meta = {
        "http": "",
        "meta": f"<meta charset={charset}>",
        "http-equiv": f'<meta http-equiv="Content-Type" content="text/html; charset={charset.upper()}">',
    }[place]
    data = page(SAMPLES[charset], head=meta).encode(PYTHON.get(charset, charset))
    assert SAMPLES[charset] in decode(data, charset if place == "http" else None, html=True)


def test_order_of_declarations() -> None:
    text = "Grüße"
    assert decode(b"\xef\xbb\xbf" + text.encode(), "latin-1") == text
    assert decode(b"\xff\xfe" + text.encode("utf-16-le"), "utf-8") == text
    both = page(text, head="<meta charset=koi8-r>").encode()
    assert text in decode(both, "utf-8", html=True)
    assert text in decode(page(text).encode("latin-1"), "ISO-8859-1", html=True)
    assert text in decode(both, "no-such-charset", html=True) or "charset=koi8-r" in decode(both, None, html=True)


def test_latin_1_means_windows_1252_and_errors_are_replaced() -> None:
    assert decode(b"\x93quoted\x94", "iso-8859-1") == "“quoted”"
    assert decode(b"broken \xff here", "utf-8") == "broken \ufffd here"
    assert decode(b"", None) == ""


def test_browsers_read_more_than_the_name_says() -> None:
    assert decode("①㈱".encode("cp932"), "Shift_JIS") == "①㈱"
    assert decode("똠".encode("cp949"), "euc-kr") == "똠"
    assert decode("𠀀€".encode("gb18030"), "gb2312") == "𠀀€"


def test_a_declared_utf_16_that_is_none() -> None:
    assert decode("<meta charset=utf-16>Grüße".encode(), None, html=True).endswith("Grüße")


def test_utf_8_beyond_what_detection_looks_at() -> None:
    text = "a" * 200_000 + "é雪"
    assert decode(text.encode(), None) == text


def test_undeclared_charsets_are_detected() -> None:
    text = SAMPLES["shift_jis"] * 20
    assert decode(text.encode("shift_jis"), None) == text
    assert decode(("naïve " * 50).encode(), None) == "naïve " * 50


ARTICLE = page("The lift would not open. It had read the demolition order, and it had decided to live. " * 3)


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_extractors_leave_out_navigation(extractor: str) -> None:
    text = html_to_text(ARTICLE, ReadOptions(extractor=extractor))
    assert "It had read the demolition order" in text and "Imprint" not in text and "Home" not in text


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_the_whole_page_on_request(extractor: str) -> None:
    text = html_to_text(ARTICLE, ReadOptions(extractor=extractor, main_content=False))
    assert "It had read the demolition order" in text and "Home" in text


def test_scripts_and_markup_are_no_text() -> None:
    html = page("a &lt;b&gt; &amp; c<script>var x = 'no'</script><style>p{}</style><!-- no -->")
    assert html_to_text(html, ReadOptions()).strip() == "a <b> & c"


def test_a_missing_extractor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(ImportError, match=r"pip install 'tropescan\[trafilatura\]'"):
        html_to_text(ARTICLE, ReadOptions(extractor="trafilatura"))


@pytest.mark.parametrize(
    ("bomb", "why"),
    [
        ("<div>" * 20_000 + "text", "deep"),
        ("<div>" * 20_000 + "text" + "</div>" * 20_000, "deep"),
        ("<div>" * 1000 + "<p>text</p>" * 20_000, "deep"),
        ("<a><b><i>" * 20_000, "closed"),
        ("<p " + " ".join(f"a{i}=1" for i in range(50_000)) + ">text", "attributes"),
    ],
)
def test_bombs_are_refused(bomb: str, why: str) -> None:
    with pytest.raises(TooComplexError, match=why):
        html_to_text(bomb, ReadOptions())


def test_large_pages_are_no_bombs() -> None:
    row = "<tr><td><div class=cell><a href='/x'>one</a></div><td><p>two<br><li>three"
    html = page("<table>" + row * 3000 + f"</table><img src='data:{'A' * 200_000}=='>" + "<div><b>x</b></div>" * 5000)
    assert "three" in html_to_text(html, ReadOptions(main_content=False))


def test_short_lists_near_the_top_are_content() -> None:
    items = "".join(f"<li>{item}</li>" for item in ("Holds 1.8 litres", "For gas and induction", "Whistle comes off"))
    html = (
        "<html><head><title>Shop</title></head><BODY class='x'><nav><a href='/'>Home</a><a href='/b'>Basket</a></nav>"
        f"<div><main><h1>No. 2</h1><p>A kettle with a whistle, made in our shed</p><ul>{items}</ul></main></div></body>"
    )
    text = html_to_text(html, ReadOptions())
    assert all(part in text for part in ("Holds 1.8 litres", "For gas", "Whistle comes off"))
    assert "Basket" not in text
