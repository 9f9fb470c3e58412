"""Shards of every format cut and corrupted at random places: no exception, nothing lost in silence, nothing lost that
the damage did not touch."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from reading import Shard, http, page, read, record, write

from pipeline.readers import ColumnError

SEEDS = range(int(os.environ.get("TROPESCAN_FUZZ_SEEDS", "20")))
DOCUMENTS = 24
Packer = Callable[[bytes], bytes]
PACKERS: dict[str, Packer] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, 6, mtime=0),
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@dataclass(frozen=True)
class Sound:
    """A shard before damage: its units (frames, or records where nothing is compressed) with a document each."""

    name: str
    units: Sequence[bytes]
    texts: Sequence[str]
    content: bytes

    def spared(self, start: int, stop: int, slack: int) -> tuple[int, int]:
        """How many units end before the damage, and how many begin after it, ``slack`` more left out."""
        ends, at = [], 0
        for unit in self.units:
            at += len(unit)
            ends.append(at)
        before = sum(end <= start for end in ends)
        after = sum(end - len(unit) >= stop for end, unit in zip(ends, self.units, strict=True))
        return before, max(after - slack, 0)


def texts(random: random.Random) -> list[str]:
    return [f"Text {i}. " + " ".join(f"wörd{random.randrange(999)}" for _ in range(random.randrange(3, 200)))
            for i in range(DOCUMENTS)]  # fmt: skip


def sound(kind: str, ending: str, random: random.Random) -> Sound:
    content = texts(random)
    match kind:
        case "jsonl":
            units = [json.dumps({"id": str(i), "text": text}).encode() + b"\n" for i, text in enumerate(content)]
        case "wet":
            units = [record(i, text.encode()) for i, text in enumerate(content)]
        case _:
            units = [record(i, http(page(text).encode()), "response") for i, text in enumerate(content)]
    packed = list(map(PACKERS[ending], units))
    return Sound(f"a.{kind}{ending}", packed, content, b"".join(packed))


def damaged(content: bytes, random: random.Random) -> tuple[bytes, int, int]:
    """The content with one damage, and the stretch of the sound content that it touches."""
    at = random.randrange(len(content))
    size = random.choice([1, 1, 5, 300, 5000])
    stop = min(at + size, len(content))
    match random.choice(["flip", "cut", "drop", "insert", "zeros", "noise", "repeat"]):
        case "flip":
            return content[:at] + bytes([content[at] ^ random.randrange(1, 256)]) + content[at + 1 :], at, at + 1
        case "cut":
            return content[:at], at, len(content)
        case "drop":
            return content[:at] + content[stop:], at, stop
        case "insert":
            return content[:at] + random.randbytes(size) + content[at:], at, at
        case "zeros":
            return content[:at] + bytes(stop - at) + content[stop:], at, stop
        case "noise":
            return content[:at] + random.randbytes(stop - at) + content[stop:], at, stop
        case _:
            return content[:stop] + content[at:], at, stop


def check(shard: Shard, whole: Sound, start: int, stop: int, *, slack: int) -> None:
    before, after = whole.spared(start, stop, slack)
    read = shard.texts
    assert read[:before] == whole.texts[:before]
    assert not after or read[-after:] == whole.texts[-after:]
    if len(read) < DOCUMENTS - shard.tally.other_records and not traceless(whole, start, stop):
        assert shard.rejected or not shard.tally.complete


def traceless(whole: Sound, start: int, stop: int) -> bool:
    """Whether what went missing leaves a smaller shard as sound as the other: whole units, or, where neither checksum
    nor length would tell, the end of one line and the start of another."""
    borders = {sum(map(len, whole.units[:i])) for i in range(len(whole.units) + 1)}
    return whole.name.endswith(".jsonl") or {start, stop} <= borders


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("kind", ["jsonl", "wet", "warc"])
def test_damage_costs_what_it_touches(tmp_path: Path, kind: str, ending: str, seed: int) -> None:
    chance = random.Random(f"{kind}{ending}{seed}")
    whole = sound(kind, ending, chance)
    content, start, stop = damaged(whole.content, chance)
    shard = read(write(tmp_path, whole.name, content))
    check(shard, whole, start, stop, slack=0)


def parquet(random: random.Random) -> tuple[bytes, list[str]]:
    content = texts(random)
    file = io.BytesIO()
    table = pa.table({"id": [str(i) for i in range(DOCUMENTS)], "text": content})
    pq.write_table(
        table, file, row_group_size=4, write_page_checksum=True, use_dictionary=random.random() < 0.3,
        data_page_size=random.choice([200, 10**6]), compression=random.choice(["zstd", "snappy", "none"]),
    )  # fmt: skip
    return file.getvalue(), content


@pytest.mark.parametrize("seed", range(3 * len(SEEDS)))
def test_a_damaged_parquet_file_says_so(tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"parquet{seed}")
    content, expected = parquet(chance)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    broken, start, _ = damaged(content[:footer], chance)
    broken += content[footer:] if chance.random() < 0.8 else content[footer : chance.randrange(footer, len(content))]
    shard = read(write(tmp_path, "a.parquet", broken))
    if len(broken) == len(content) and broken[:4] == b"PAR1":
        whole = [i for i in range(6) if max(column_ends(content, i)) <= start]
        assert shard.texts[: 4 * len(whole)] == expected[: 4 * len(whole)] and shard.tally.read == DOCUMENTS
    assert shard.texts == expected or shard.rejected or not shard.tally.complete


def column_ends(content: bytes, group: int) -> list[int]:
    meta = pq.read_metadata(io.BytesIO(content)).row_group(group)
    columns = [meta.column(i) for i in range(meta.num_columns)]
    return [(c.dictionary_page_offset or c.data_page_offset) + c.total_compressed_size for c in columns]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_parquet_footer_never_crashes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"footer{seed}")
    content, expected = parquet(chance)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    broken, _, _ = damaged(content[footer:], chance)
    try:
        shard = read(write(tmp_path, "a.parquet", content[:footer] + broken))
    except ColumnError:
        return  # a name or type became another
    assert shard.texts == expected or shard.rejected or len(shard.texts) == shard.tally.read
