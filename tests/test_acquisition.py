"""Formulas of active learning, the mixture with its caps, and the command on the mini crawl."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jobs import acquiring
from jobs.main import cli
from labels import acquisition as aq
from labels import near_duplicates
from labels.background import mentions_ai
from labels.near_duplicates import NEAR, PERMUTATIONS, NearIndex, nearly_among, pack, signature, similarity, unpack
from labels.split import choose_splits, group_of, is_held_out
from labels.store import StoreError, designed_selections, open_store
from labels.store.tables import Item, Selection

SCORES = np.array([0.0, 0.1, 0.45, 0.5, 0.9, 1.0, np.nan])


def test_margin_and_entropy_prefer_the_uncertain_and_leave_out_what_has_no_score() -> None:
    for priority in (aq.margin(SCORES), aq.entropy(SCORES)):
        assert list(np.argsort(-priority)[:2]) == [3, 2] and priority[6] == -np.inf
    assert aq.entropy(np.array([0.5]))[0] == pytest.approx(1.0)
    assert np.argmax(aq.margin(SCORES, 0.9)) == 4


def test_disagreement_is_the_jensen_shannon_divergence_and_symmetric() -> None:
    one, other = np.array([0.0, 0.5, 0.9, np.nan]), np.array([1.0, 0.5, 0.2, 0.3])
    found = aq.disagreement(one, other)
    assert found == pytest.approx(aq.disagreement(other, one))
    assert found[0] == pytest.approx(1.0) and found[1] == pytest.approx(0.0) and 0 < found[2] < 1
    assert found[3] == -np.inf


def test_near_misses_lie_below_the_threshold() -> None:
    assert list(np.argsort(-aq.near_miss(SCORES, 0.5))[:2]) == [2, 1]
    assert np.isneginf(aq.near_miss(SCORES, 0.5)[[3, 4, 5, 6]]).all()
    assert np.argmax(aq.top(SCORES)) == 5


def test_novelty_goes_farthest_first() -> None:
    texts = ["the cat sat on the mat today", "the cat sat on the mat again", "robots rule a distant moon"]
    marks = [signature(text, 1) for text in texts]
    order = np.argsort(-aq.novelty(marks, [signature("the cat sat on a mat", 1)]))
    assert order[0] == 2
    order = np.argsort(-aq.novelty(marks, []))
    assert list(order[:2]) == [0, 2]  # the second is nearly the first


@given(st.integers(0, 200), st.dictionaries(st.sampled_from("abc"), st.floats(0.1, 9), min_size=1))
def test_quotas_sum_to_n(n: int, shares: dict[str, float]) -> None:
    given_ = aq.quotas(n, shares)
    assert sum(given_.values()) == n
    assert all(abs(given_[name] - n * share / sum(shares.values())) < 1 for name, share in shares.items())


def test_the_mixture_keeps_quotas_caps_and_never_chooses_twice() -> None:
    hosts = ["a"] * 5 + ["b"] * 5 + [""] * 5
    ranked = {"x": list(range(15)), "y": list(range(14, -1, -1))}
    chosen = aq.mix(ranked, {"x": 4, "y": 6}, [hosts], [2], refused=lambda i: i == 13)
    items = [i for i, _ in chosen]
    assert len(items) == len(set(items)) and 13 not in items
    assert Counter(name for _, name in chosen) == {"x": 4, "y": 4}  # no more are allowed
    assert all(Counter(hosts[i] for i in items)[host] <= 2 for host in "ab")
    with pytest.raises(ValueError, match="above 0"):
        aq.quotas(5, {"x": 0.0})


def test_near_duplicates_are_found_and_signatures_keep() -> None:
    words = [f"word{k}" for k in range(300)]
    text = " ".join(words)
    near, far = " ".join([*words[:290], "other", "end"]), " ".join(reversed(words))
    assert nearly_among([near, far, text.upper() + "!"], [text]) == [True, False, True]
    assert similarity(signature(text), signature(near)) > NEAR
    assert (unpack(pack(signature(text))) == signature(text)).all() and len(pack(signature(text))) == 512
    index = NearIndex()
    index.add(3, signature(text))
    assert index.near(signature(near)) == [3] and index.near(signature("")) == []


def test_near_duplicates_never_straddle_the_split_and_old_splits_stay() -> None:
    held = next(f"s{k}" for k in range(99) if is_held_out(f"s{k}"))
    free = next(f"s{k}" for k in range(99) if not is_held_out(f"s{k}"))
    one = signature(" ".join(f"w{k}" for k in range(100)))
    other = signature("something else altogether, and long enough to be told apart from it")
    assert choose_splits([free, held, free], [one, one, other]) == ["neither", "evaluation", "train"]
    assert choose_splits([held, free], [one, one], [("train", one)]) == ["neither", "train"]
    assert choose_splits([free], [one], [("evaluation", one)]) == ["neither"]
    assert choose_splits([held, free], [None, None]) == ["evaluation", "train"]
    assert group_of("", "ab") == "ab" and group_of("s", "ab", synthetic=True, pair="p") == "p"


def acquire(scanned: str, place: Path, name: str, *more: str) -> object:
    return CliRunner().invoke(cli, ["label", "acquire", scanned, "--store", str(place), "--name", name, *more])


def test_the_command_acquires_for_training_only_and_never_twice(scanned: str, tmp_path: Path) -> None:
    place = tmp_path / "labels.sqlite"
    mix = "margin=2,entropy=1,near-miss=1,hard-negative=1,novelty=2,random=1"
    for name in ("one", "two"):
        done = acquire(scanned, place, name, "--n", "16", "--mix", mix, "--source-cap", "0.2")
        assert done.exit_code == 0, done.output  # type: ignore[attr-defined]
    store = open_store(place)
    with store.reading() as session:
        rows = session.execute(select(Selection, Item).join(Item, Item.id == Selection.item_id)).all()
    assert len({item.id for _, item in rows}) == len(rows) > 16
    assert {selection.inclusion_probability for selection, _ in rows} == {None}
    assert {item.split for _, item in rows} == {"train"}
    for draw_id in (1, 2):
        sources = Counter(item.source for selection, item in rows if selection.draw_id == draw_id)
        assert max(sources.values()) <= 3
    assert not any(mentions_ai(item.text) for selection, item in rows if selection.stratum == "hard-negative")
    with pytest.raises(StoreError, match="cannot enter an estimate"):
        designed_selections(store, ["one"])


def test_disagreement_wants_another_model_over_the_same_shards(scanned: str, tmp_path: Path) -> None:
    place = tmp_path / "labels.sqlite"
    for more, why in (((), "--against"), (("--against", scanned), "same model")):
        done = acquire(scanned, place, "x", "--n", "5", "--mix", "disagreement", *more)
        assert why in str(done.exception)  # type: ignore[attr-defined]
    other = other_model(tmp_path)
    scan = CliRunner().invoke(
        cli, ["scan", str(Path(__file__).parent / "minicrawl" / "shards"), "--model", str(other), "--out",
              str(tmp_path / "other"), "--quiet", "--workers", "1"],
    )  # fmt: skip
    assert scan.exit_code == 1, scan.output
    done = acquire(scanned, place, "x", "--n", "5", "--mix", "disagreement", "--against", str(tmp_path / "other"))
    assert done.exit_code == 0, done.output  # type: ignore[attr-defined]


def other_model(folder: Path) -> Path:
    """The shipped model with another sign: it disagrees about everything."""
    from dataclasses import replace

    from classifiers.card import default_model
    from classifiers.fasttext_file import read_model, write_model

    model = read_model(default_model())
    path = folder / "other.bin"
    write_model(replace(model, embedding=-model.embedding), path)
    return path


def test_signatures_of_long_texts_are_bounded_and_those_of_others_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"word{k % 4000}" for k in range(5000)]
    text = " ".join(words)
    whole = MinHash(num_perm=PERMUTATIONS, scheme="affine32")
    whole.update_batch([" ".join(words[k : k + 5]).encode() for k in range(len(words) - 4)])
    assert (signature(text) == whole.hashvalues).all()  # made in parts, and the same
    monkeypatch.setattr(near_duplicates, "LONGEST", len(text))
    assert (signature(text + " and so on" * 1000) == signature(text)).all()
    assert (signature(" ".join(reversed(words))) != signature(text)).any()


def test_a_second_round_with_the_same_seed_looks_beyond_the_first(
    scanned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquiring, "POOL", 2)  # all that the first round took would fill the second's pool
    place = tmp_path / "labels.sqlite"
    for name in ("one", "two", "three"):
        done = acquire(scanned, place, name, "--n", "8", "--mix", "random", "--source-cap", "1", "--host-cap", "1")
        assert "8 of 8 documents" in done.output, done.output  # type: ignore[attr-defined]
