"""Read = tagged + rejected, for one shard and in sum."""

from __future__ import annotations

import pytest

from pipeline.accounting import EXAMPLES_PER_REASON, ShardReport, Tally


def test_reports_add_up() -> None:
    one = ShardReport(shards=1, read=5, tagged=3, words=30, rejected={"bad_json": 2})
    two = ShardReport(shards=1, read=4, tagged=2, words=12, rejected={"bad_json": 1, "null_text": 1})
    total = one + two
    assert total == ShardReport(shards=2, read=9, tagged=5, words=42, rejected={"bad_json": 3, "null_text": 1})
    assert not total.clean
    assert ShardReport(read=1, tagged=1).clean


def test_a_report_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="accounting broken"):
        ShardReport(read=3, tagged=1, rejected={"bad_json": 1})


def test_rows_count_rejected_records_too() -> None:
    tally = Tally()
    assert tally.accept() == 0
    tally.reject("bad_json", 17, "x" * 1000)
    assert tally.accept_many(3) == 2
    assert (tally.read, tally.examples[0].row, tally.examples[0].offset) == (5, 1, 17)
    assert len(tally.examples[0].detail) == 300


def test_only_the_first_rejections_of_a_reason_are_kept() -> None:
    tally = Tally()
    for _ in range(EXAMPLES_PER_REASON + 5):
        tally.reject("null_text")
    tally.cut_short("truncated_stream", 9)
    assert tally.rejected == {"null_text": EXAMPLES_PER_REASON + 5, "truncated_stream": 1}
    assert len(tally.examples) == EXAMPLES_PER_REASON + 1
    assert not tally.complete
