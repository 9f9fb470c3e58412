"""Texts that a scorer may meet: every script of Unicode, odd bytes, lengths around every boundary of the kernel."""

from __future__ import annotations

import random
import sys
import unicodedata
from functools import cache

import pyarrow as pa
from small_models import PROSE, vocabulary

BLOCK = 2048  # tokens that the kernel takes at once; `classifiers.kernel.tokenise.BLOCK`
SEPARATORS = [" ", "\n", "\t", "\r", "\v", "\f", "\0", "  ", "\r\n", " \0 ", "\n\n\n"]
NO_SEPARATORS = ["\x85", "\xa0", "\u2028", "\u3000", "\ufeff", "\x1c", "\x08", "\x0e", "\x7f"]
SPECIAL = [
    "", " ", "\n", "\n" * 500, "\0", "\0" * 70, " \t\r\v\f\0\n", "</s>", " </s> ", "</s> and on", "on and </s> on on",
    "</s></s>", "</s>x", "x</s>", "a </s>\nb </s> c", "__label__", "__label__x", "__label__0", "__label__0 __label__1",
    "it __label__0 was __label__x the __label_x machine", "__label_ __label", "x__label__x", "#is:0", "#is: the #is:1",
    "the #is:x lamp", "#is", "the", "The lighthouse", "lighthouse", "zzz", "zzz yyy", "<s/>", "< > <the> <>",
    "🤖", "🤖🤖 👩‍🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301 \u0301 \u0301\u0301", "\U0010ffff \ue000", "灯台は静かだった。", PROSE, PROSE * 20,
]  # fmt: skip


def _words(chosen: random.Random, count: int) -> list[str]:
    return chosen.choices(vocabulary(), k=count)


def scripts() -> list[str]:
    """A text for each first word of the names of characters (that is a script, mostly) and for each 256 code points."""
    groups: dict[object, list[str]] = {}
    for number in range(sys.maxunicode + 1):
        if 0xD800 <= number < 0xE000:
            continue
        name = unicodedata.name(chr(number), "")
        if name:
            groups.setdefault(name.split("-")[0].split()[0], []).append(chr(number))
        if name or number % 64 == 0:
            groups.setdefault(number >> 8, []).append(chr(number))
    chosen = random.Random(4)
    texts = []
    for characters in groups.values():
        own = ["".join(chosen.choices(characters, k=chosen.randint(1, 9))) for _ in range(8)]
        mixed = own + _words(chosen, 4)
        chosen.shuffle(mixed)
        texts.append(" ".join(mixed))
    return texts


def shuffled_words(count: int) -> list[str]:
    """Words that the models know and do not know, between all separators, and beside what is none."""
    chosen = random.Random(5)
    texts = []
    for _ in range(count):
        pieces = []
        for word in _words(chosen, chosen.choice([1, 2, 5, 20, 60, 150])):
            if chosen.random() < 0.1:
                word = chosen.choice([word[::-1], word * 9, chosen.choice(SPECIAL[7:30]), chosen.choice(NO_SEPARATORS)])
            pieces += [word, chosen.choice(SEPARATORS) if chosen.random() < 0.3 else " "]
        texts.append("".join(pieces[chosen.randint(0, 1) : len(pieces) - chosen.randint(0, 1)]))
    return texts


def lengths() -> list[str]:
    """Words of 0 to 200 bytes; texts that end, and words that begin, around each 64th byte and each full block."""
    chosen = random.Random(6)
    known = [word for word in vocabulary() if len(word.encode()) == 3]
    texts = ["".join(chosen.choices("abcdefghé", k=size)) for size in range(201)]
    texts += [f"{'x' * size} the lamp {'y' * (200 - size)}" for size in range(200)]
    texts += [("the " * 100)[:size] for size in range(260)]
    for tokens in (BLOCK, 2 * BLOCK, 3 * BLOCK, BLOCK + 256):
        texts += [" ".join(chosen.choices(known, k=tokens + more)) for more in (-33, -32, -2, -1, 0, 1, 2, 31, 32, 33)]
        texts += [" ".join([*chosen.choices(known, k=tokens - 3), "lighthouse" * 30, "the"])]
    return texts


def soups(count: int) -> list[bytes]:
    """Random bytes of a few classes, mostly not UTF-8."""
    chosen = random.Random(7)
    classes = [b" \n\0\t", b"ab", b"\x80\xbf\xc3\xe2", bytes(range(256)), "é灯🤖".encode(), b"</s>", b"_label"]
    texts = []
    for _ in range(count):
        picks = chosen.choices(classes, k=3)
        texts.append(bytes(chosen.choice(chosen.choice(picks)) for _ in range(chosen.randint(1, 300))))
    return texts


def long_texts() -> list[bytes]:
    """Texts beyond 100,000 characters, and one of just as many."""
    chosen = random.Random(8)
    word = "".join(chosen.choices("abcdefghijklmnopé", k=150_000))
    exact = " ".join(_words(chosen, 40_000))[:100_000]
    return [exact.encode(), *(" ".join(_words(chosen, size)).encode() for size in (30_000, 90_000)), word.encode()]


def huge_text() -> bytes:
    """Ten megabytes in one text."""
    chosen = random.Random(9)
    return b"".join([" ".join(_words(chosen, 5000)).encode() + b"\n" for _ in range(20)]) * 4


@cache
def odd_texts() -> list[bytes]:
    """More than 5,000 texts, as bytes."""
    plain = [*SPECIAL, *scripts(), *shuffled_words(2600), *lengths()]
    return [*(text.encode() for text in plain), *soups(900), *long_texts()]


def as_column(texts: list[bytes], kind: pa.DataType | None = None) -> pa.Array:
    """A string column of bytes that need not be UTF-8, as Parquet readers give them too."""
    wide = kind is None or pa.types.is_large_string(kind)
    raw = pa.array(texts, pa.large_binary() if wide else pa.binary())
    return pa.Array.from_buffers(pa.large_string() if wide else pa.string(), len(raw), raw.buffers())


def as_batch(texts: list[bytes], kind: pa.DataType | None = None) -> pa.RecordBatch:
    """A batch with just the ``text`` column."""
    return pa.RecordBatch.from_arrays([as_column(texts, kind)], ["text"])
