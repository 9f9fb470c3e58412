"""Reweighting: against a general solver, against counts in plain Python, whatever the order of what is read."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from scipy import sparse
from scipy.optimize import linprog, minimize

from classifiers.calibration import Calibration
from jobs.main import cli
from jobs.tag_counting import counted
from pipeline.policy.setting import PolicyError, Setting
from pipeline.prevalence.slices import SLICES, Slicer
from pipeline.reweight import goals as reading
from pipeline.reweight.balance import Constraints, balance
from pipeline.reweight.categories import bucket_of, distinct_buckets, name_of
from pipeline.reweight.cells import Cells, Ranking, Table
from pipeline.reweight.distances import divergence, effective_size, total_variation
from pipeline.reweight.goals import Goals, GoalsError, read_goals
from pipeline.reweight.target import InfeasibleError, measure_of, target
from pipeline.reweight.weights import Weights, WeightsError, cut, load_weights, save_weights
from tests.tag_folders import MODEL, WITH_TOPICS, Row, batch, row, rows, write_folder

GOALS: dict[str, Any] = {
    "goal": [
        {"label": "adverse", "at_most": 0.4},
        {"label": "admirable", "per": "adverse", "at_least": 1.5},
        {"label": "fiction", "per": "all", "at_least": 0.05, "at_most": 0.4},
    ],
    "hold": {"total": 0.0, "domain": 0.2, "lang": 0.1, "length": 0.1, "year": 0.1, "source": 0.1},
    "cap": 4.0,
}


def goals_of(content: dict[str, Any]) -> Goals:
    """Goals as from a file of that content."""
    return reading.goals_of(Setting("goals.toml", content, (), {}))


PROBABILITIES = {label: Calibration(**values).probability for label, values in MODEL["calibration"].items()}


def table_of(parts: list[list[Row]], goals: Goals, most: int = 100_000) -> Table:
    measure = measure_of(goals, MODEL, PROBABILITIES)
    ranking = Ranking(measure)
    for part in parts:
        ranking.add(batch(part))
    cells = Cells(measure, ranking.top(), most)
    for part in parts:
        cells.add(batch(part))
    return cells.finish()


def solve(found: list[Row], content: dict[str, Any] = GOALS) -> tuple[Weights, Goals]:
    goals = goals_of(content)
    return target(table_of([found], goals), goals, "m"), goals


def _problem(seed: int, cells: int = 40) -> tuple[Any, Any, Constraints, float, float]:
    chance = np.random.default_rng(seed)
    mass = chance.uniform(0.5, 20, cells)
    shares = (0.2, 0.3, 1.1, 0.5, 0.4)
    rows_ = np.array([chance.random(cells) < share for share in shares], np.float64)
    today = rows_ @ mass
    low = today * [-np.inf, 1.3, 1.0, 0.98, 0.9]
    high = today * [0.5, np.inf, 1.0, 1.02, 1.1]
    floor, cap = ((0.0, 10.0), (0.3, 2.5), (0.1, 1.6))[seed % 3]
    return mass, rows_, Constraints(sparse.csr_array(rows_), low, high, today), floor, cap


def _feasible(mass: Any, a: Any, constraints: Constraints, floor: float, cap: float) -> bool:
    limits = [(r, b) for r, b in zip([*a, *-a], [*constraints.high, *-constraints.low], strict=True) if np.isfinite(b)]
    rows_, bounds = (np.array(part) for part in zip(*limits, strict=True))
    return bool(linprog(np.zeros(len(mass)), A_ub=rows_ * mass, b_ub=bounds, bounds=(floor, cap)).success)


def test_some_of_the_problems_have_no_solution() -> None:
    found = [_feasible(*_problem(seed)[:2], *_problem(seed)[2:]) for seed in range(12)]
    assert 0 < found.count(False) < 6


@pytest.mark.parametrize("seed", range(12))
def test_weights_are_those_of_a_general_solver_or_there_are_none(seed: int) -> None:
    mass, a, constraints, floor, cap = _problem(seed)
    found = balance(mass, constraints, floor, cap)
    if not _feasible(mass, a, constraints, floor, cap):
        assert found.missed > 1e-3
        return

    def loss(w: Any) -> float:
        return float(mass @ (w * np.log(w) - w + 1))

    sides = [
        {
            "type": kind,
            "fun": lambda w, r=r, b=b, s=s: s * (r @ (mass * w) - b),
            "jac": lambda w, r=r, s=s: s * r * mass,
        }
        for r, low, high in zip(a, constraints.low, constraints.high, strict=True)
        for kind, b, s in ([("eq", low, 1)] if low == high else [("ineq", low, 1), ("ineq", high, -1)])
        if np.isfinite(b)
    ]
    bounds = [(max(floor, 1e-9), cap)] * len(mass)
    general = minimize(
        loss, np.ones(len(mass)), jac=lambda w: mass * np.log(w), bounds=bounds, constraints=sides, method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-10},
    )  # fmt: skip
    assert general.success and found.missed < 1e-8
    assert loss(found.weights) == pytest.approx(general.fun, rel=1e-6)
    assert np.abs(found.weights - general.x).max() < 1e-3
    assert floor <= found.weights.min() and found.weights.max() <= cap
    assert np.allclose(found.weights, cut(a.T @ found.multipliers, floor, cap))


def test_bounds_that_do_not_bind_move_nothing() -> None:
    mass, a, _, _, _ = _problem(3)
    loose = Constraints(sparse.csr_array(a), 0.9 * a @ mass, 1.1 * a @ mass, a @ mass)
    assert np.array_equal(balance(mass, loose, 0.0, 5.0).weights, np.ones(len(mass)))


def recounted(found: list[Row], weights: list[float], goals: Goals) -> dict[str, Any]:
    """Words by label and by category before and after, row by row."""
    sums: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one, weight in zip(found, weights, strict=True):
        keys: list[tuple[Any, float]] = [("all", 1.0)]
        for label in goals.labels:
            score = None if one["status"] == "other_language" else one[label]
            flagged = score is not None and np.float32(score) >= goals.thresholds.get(label, 0.5)
            if goals.count == "probability":
                flagged = 0.0 if score is None else float(PROBABILITIES[label](np.array([np.float32(score)]))[0])
            keys.append((label, float(flagged)))
        keys += [((by, name_of(by, one[SLICES[by][0]])), 1.0) for by in goals.marginals]
        for key, share in keys:
            sums[key][0] += share * one["words"]
            sums[key][1] += share * one["words"] * weight
    return sums


@pytest.mark.parametrize("count", ["flag", "probability"])
@pytest.mark.parametrize("seed", range(3))
def test_goals_and_margins_hold_when_counted_row_by_row(count: str, seed: int) -> None:
    found = rows(1500, seed)
    goals_file = {**GOALS, "count": count}
    if count == "probability":
        goals_file["goal"] = [{"label": "adverse", "at_most": 0.6}, {"label": "admirable", "at_least": 1.2}]
    weights, goals = solve(found, goals_file)
    given = weights.of(batch(found)).tolist()
    assert max(given) <= goals.cap and min(given) >= goals.floor
    sums = recounted(found, given, goals)
    for goal in goals.goals:
        after, of = sums[goal.label][1], sums[goal.label][0] if goal.per is None else sums[goal.per][1]
        slack = 2e-5 if count == "probability" else 1e-6  # probabilities are rounded to parts of 65,536
        assert goal.at_least is None or after / of >= goal.at_least * (1 - slack)
        assert goal.at_most is None or after / of <= goal.at_most * (1 + slack)
    for key, (before, after) in sums.items():
        if isinstance(key, tuple):
            assert after == pytest.approx(before, rel=goals.hold[key[0]] + 1e-6), key
    assert sums["all"][1] == pytest.approx(sums["all"][0], rel=1e-6)
    about = weights.about
    for label, parts in about["labels"].items():
        assert parts["words"]["after"] == pytest.approx(sums[label][1], rel=2e-5)
    assert about["effective_documents"] == pytest.approx(sum(given) ** 2 / sum(w * w for w in given), rel=0.02)
    assert about["largest_weight"] == pytest.approx(max(w for w, r in zip(given, found, strict=True) if r["words"]))


@pytest.mark.parametrize("most", [100_000, 60])
def test_order_of_shards_and_batches_changes_no_bit(most: int) -> None:
    found, goals = rows(900, 5), goals_of({**GOALS, "goal": [{"label": "adverse", "at_most": 0.7}], "top": 8})
    measure = measure_of(goals, MODEL, PROBABILITIES)
    seen = set()
    for seed in range(3):
        shuffled = found[:]
        random.Random(seed).shuffle(shuffled)
        size = (900, 100, 333)[seed]
        parts = [shuffled[i : i + size] for i in range(0, 900, size)]
        tables = [table_of(parts, goals, most)]
        ranking, whole = Ranking(measure), None
        for half in (parts[::2], parts[1::2]):
            one = Ranking(measure)
            for part in half:
                one.add(batch(part))
            ranking.merge(one)
        for half in (parts[::2], parts[1::2]):
            cells = Cells(measure, ranking.top(), most)
            for part in half:
                cells.add(batch(part))
                cells._compact()  # as it would with many more rows
            if whole is None:
                whole = cells
            else:
                whole.merge(cells)
        assert whole is not None
        tables.append(whole.finish())
        for table in tables:
            assert len(table.sums) <= most and (table.level > 0) == (most == 60)
            weights = target(table, goals, "m")
            seen.add((weights.digest, json.dumps(weights.about)))
    assert len(seen) == 1


def test_processes_count_what_one_counts(tmp_path: Path) -> None:
    folder = Path(write_folder(tmp_path, {f"part{i}": rows(200, i) for i in range(3)}))
    files = [str(path) for path in sorted((folder / "tags").iterdir())]
    goals = goals_of(GOALS)
    measure = measure_of(goals, MODEL, PROBABILITIES)
    one, two = (target(counted(files, measure, 10_000, n).finish(), goals, "m") for n in (1, 2))
    assert one == two and one.about == two.about
    files[1] = str(tmp_path / "scan.json")
    with pytest.raises(ValueError, match=r"scan\.json: cannot be read as tags"):
        counted(files[1:2], measure, 10_000, 2)


@pytest.mark.parametrize("by", list(SLICES))
def test_categories_are_those_of_slices(by: str) -> None:
    tags = batch(rows(300, 1), WITH_TOPICS)
    expected = [bucket_of(by, row_[SLICES[by][0]]) for row_ in tags.to_pylist()]
    rows_, found = distinct_buckets(tags, by)
    assert found[rows_].tolist() == expected
    names = {name_of(by, row_[SLICES[by][0]]) for row_ in tags.to_pylist()}
    assert names == set(Slicer(by).of(tags)[0])
    column = SLICES[by][0]
    if pa.types.is_string(tags.schema.field(column).type):
        encoded = tags.set_column(tags.schema.get_field_index(column), column, tags.column(column).dictionary_encode())
        rows_, found = distinct_buckets(encoded, by)
        assert found[rows_].tolist() == expected


def test_a_goal_out_of_reach_says_how_near_it_can_be_come_to() -> None:
    found = [row(i, words=100, adverse=0.9 if i < 20 else 0.01, host=HOSTS_OF[i % 2]) for i in range(100)]
    with pytest.raises(InfeasibleError, match=r"is wanted, 0\.25 is reached, with 100\.0% .* at the floor"):
        solve(found, {"goal": [{"label": "adverse", "at_most": 0.1}], "floor": 0.25})
    # of domain example.org every document is adverse: it may lose 5 %, and with it so may the label
    found = [row(i, words=100, adverse=0.9 if i % 5 == 0 else 0.01, host=HOSTS_OF[i % 5 == 0]) for i in range(100)]
    with pytest.raises(InfeasibleError, match=r"0\.95 is reached.*domain example\.org held within 5 %"):
        solve(found, {"goal": [{"label": "adverse", "at_most": 0.1}], "hold": {"domain": 0.05}})
    with pytest.raises(InfeasibleError, match="no document in the tags holds admirable: lower its threshold"):
        solve(found, {"goal": [{"label": "admirable", "per": "adverse", "at_least": 2}]})


HOSTS_OF = ("www.example.com", "www.example.org")


@pytest.mark.parametrize("seed", range(4))
def test_nearest_value_is_the_optimum_over_single_rows(seed: int) -> None:
    """Over weights of single rows, which can do more than those of cells only if rows of a cell differ in words."""
    found = [one for one in rows(300, seed) if one["words"]]
    wanted = {"goal": [{"label": "adverse", "at_most": 0.01}], "hold": {"total": 0.0, "domain": 0.1}, "floor": 0.3}
    with pytest.raises(InfeasibleError) as caught:
        solve(found, wanted)
    words = np.array([one["words"] for one in found], np.float64)
    adverse = np.array(
        [one["status"] == "ok" and one["adverse"] is not None and one["adverse"] >= 0.5 for one in found], np.float64
    )
    names = [name_of("domain", one["host"]) for one in found]
    domains = np.array([[name == each for name in names] for each in sorted(set(names))], np.float64)
    today = domains @ words
    best = linprog(
        adverse * words, A_ub=np.concatenate([domains, -domains]) * words,
        b_ub=np.concatenate([1.1 * today, -0.9 * today]), A_eq=words[None], b_eq=[words.sum()], bounds=(0.3, 10),
    )  # fmt: skip
    assert f"{best.fun / (adverse @ words):.4g} is reached" in str(caught.value)


@pytest.mark.parametrize("found", [[], [row(0, words=0)]])
def test_nothing_to_weigh(found: list[Row]) -> None:
    with pytest.raises(ValueError, match="hold no words: there is nothing to weigh"):
        solve(found)


def test_one_document() -> None:
    one = [row(0, adverse=0.9, host="example.com")]
    weights, _ = solve(one, {"goal": [{"label": "adverse", "at_most": 0.1}], "hold": {}})
    assert weights.of(batch(one)).tolist() == pytest.approx([0.1])
    with pytest.raises(InfeasibleError, match="total held within 0 %"):
        solve(one, {"goal": [{"label": "adverse", "at_most": 0.1}]})


def test_no_score_and_other_languages_hold_no_label() -> None:
    found = [row(0, adverse=0.9), row(1, adverse=None, status="no_words"), row(2, adverse=math.nan),
             row(3, adverse=0.9, status="other_language"), row(4)]  # fmt: skip
    weights, _ = solve(found, {"goal": [{"label": "adverse", "at_most": 0.5}], "hold": {}})
    assert weights.of(batch(found)).tolist() == pytest.approx([0.5, 1, 1, 1, 1])
    weights, _ = solve(found, {"goal": [{"label": "adverse", "at_most": 0.5}], "hold": {}, "count": "probability"})
    given = weights.of(batch(found))
    assert given[1:4].tolist() == [1, 1, 1] and given[0] < 0.6 and given[0] < given[4] < 1


def test_weights_of_other_tags_than_those_counted() -> None:
    """New domains count as the others, and nothing is needed but the columns that are named."""
    weights, _ = solve(rows(1000, 2))
    new = batch([row(0, host="never.seen.example", adverse=0.9), row(1, host="never.seen.example")])
    given = weights.of(new.select(weights.columns))
    assert given.shape == (2,) and given.dtype == np.float64 and given[0] < given[1]
    assert weights.of(new.slice(0, 0)).shape == (0,)


def test_a_file_keeps_the_weights_and_shows_changes(tmp_path: Path) -> None:
    weights, _ = solve(rows(400, 3))
    path = str(tmp_path / "weights.json")
    save_weights(weights, path)
    read = load_weights(path)
    assert read == weights and read.digest == weights.digest and read.about == weights.about
    content = json.loads(Path(path).read_text("utf-8"))
    content["scores"][0]["logs"][1] += 1
    Path(path).write_text(json.dumps(content), "utf-8")
    with pytest.raises(WeightsError, match=r"weights\.json: changed after it was made"):
        load_weights(path)
    for other in ("{", "[]", "{}", json.dumps({**content, "format": "other"}), json.dumps({**content, "cap": 0.1})):
        Path(path).write_text(other, "utf-8")
        with pytest.raises(WeightsError, match=r"weights\.json: no weights of this version.*policy target"):
            load_weights(path)


ONE = '[[goal]]\nlabel = "a"\nat_most = 1\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cap = [", "1: not valid TOML"),
        ("", r"1: no \[\[goal\]\]"),
        ('[[goal]]\nlabel = "a"\nat_least = 2\nat_most = 1', r"1: goal\[1\]: a: at_least 2 is more than at_most 1"),
        ('[[goal]]\nlabel = "a"', r"1: goal\[1\]: a: neither at_least nor at_most"),
        (ONE + "[[goal]]\nat_most = 1", r"4: goal\[2\]: names no label"),
        ('[[goal]]\nlabel = "a"\nat_most = true', "3: .*at_most: true, where a number is wanted"),
        ('[[goal]]\nlabel = "a"\nat_most = -1', "3: .*-1 is not between 0 and inf"),
        ('[[goal]]\nlabel = "a"\nat_most = nan', "3: .*where a number is wanted"),
        ('[[goal]]\nlabel = "a"\nper = "a"\nat_most = 1', "ratio to itself is 1"),
        ('[[goal]]\nlabel = "a"\nmost = 1', "3: .*no such setting; did you mean 'at_most'"),
        ('[goal]\nlabel = "a"', "1: goal: a table, where an array is wanted"),
        ("cap = 0.5\n" + ONE, "1: cap: 0.5 is not between 1 and inf"),
        ("floor = nan\n" + ONE, "1: floor: nan, where a number is wanted"),
        ("top = 0\n" + ONE, "top is 0"),
        ('unit = "bytes"\n' + ONE, "1: unit: 'bytes' is none of words, documents"),
        (ONE + "[hold]\ncolour = 1", "5: hold.colour: no such setting"),
        (ONE + "[hold]\nlang = -1", "5: hold.lang: -1 is not between 0 and inf"),
        (ONE + "[thresholds]\na = 0", r"\[thresholds\] a = 0"),
    ],
)
def test_goals_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "goals.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(PolicyError, match=rf"goals\.toml:{message}" if message[0].isdigit() else message):
        read_goals(str(path))


def test_labels_that_the_tags_lack() -> None:
    goals = goals_of({"goal": [{"label": "kind", "at_most": 1}]})
    with pytest.raises(GoalsError, match="no label 'kind'; they have adverse, admirable, fiction"):
        measure_of(goals, MODEL, {})
    goals = goals_of({"goal": [{"label": "adverse", "at_most": 1}], "count": "probability"})
    with pytest.raises(GoalsError, match="no calibration of 'adverse'"):
        measure_of(goals, MODEL, {})


LACKING = {
    '[[goal]]\nat_most = 1\nlabel = "kind"\n': "3: the tags have no label 'kind'",
    ONE.replace('"a"', '"adverse"') + '[[goal]]\nlabel = "adverse"\nat_most = 1\nper = "kind"\n':
        "7: the tags have no label 'kind'",
    ONE.replace('"a"', '"adverse"') + "[thresholds]\nadverse = 0.5\nkind = 0.5\n": "6: the tags have no label 'kind'",
    'count = "probability"\n' + ONE.replace('"a"', '"adverse"'): '3: count = "probability": the model has no cal',
    '[[goal]]\nat_most = 1\ntopic = "Health"\n': "3: the tags have no topics; scan again",
}  # fmt: skip


@pytest.mark.parametrize("text", LACKING)
def test_what_the_tags_lack_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "goals.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(GoalsError) as error:
        measure_of(read_goals(str(path)), MODEL, {})
    assert str(error.value).startswith(f"{path}:{LACKING[text]}")


def test_a_topic_that_the_tags_lack_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "goals.toml"
    path.write_text('[[goal]]\nlabel = "adverse"\nat_most = 1\n[[goal]]\nat_most = 1\ntopic = "Nothing"\n', "utf-8")
    with pytest.raises(GoalsError, match=r"goals\.toml:6: 'Nothing' is no topic of the model"):
        measure_of(read_goals(str(path)), WITH_TOPICS, {})


def test_distances_are_the_textbooks() -> None:
    before, after = np.array([1.0, 1, 2]), np.array([2.0, 0, 2])
    assert total_variation(before, after) == pytest.approx(0.25)
    assert divergence(before, after) == pytest.approx(0.5 * math.log(2))
    assert divergence(before, before) == 0 and divergence(np.array([0.0, 1]), np.array([1.0, 0])) == math.inf
    assert effective_size(np.array([3.0, 1]), np.array([1.0, 3])) == pytest.approx(36 / 12)
    assert effective_size(np.array([1.0]), np.array([0.0])) == 0


def test_the_command(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scanned", {"a": rows(700, 1), "sub/b": rows(300, 2)})
    goals, out = tmp_path / "goals.toml", tmp_path / "w.json"
    goals.write_text(
        'cap = 5\n[[goal]]\nlabel = "adverse"\nat_most = 0.5\n[[goal]]\nlabel = "admirable"\nper = "adverse"\n'
        "at_least = 1.2\n[hold]\ntotal = 0\ndomain = 0.3\nlength = 0.3\n",
        "utf-8",
    )
    done = CliRunner().invoke(cli, ["policy", "target", str(goals), folder, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    about = load_weights(str(out)).about
    assert json.loads(done.stdout) == about and load_weights(str(out)).model == MODEL["digest"]
    assert about["goals"][0]["reached"] <= 0.5 + 1e-6
    shown = CliRunner().invoke(cli, ["policy", "target", str(goals), folder, "--out", str(out)])
    assert "adverse at most 0.5 × today's" in shown.stdout and "effective sample size" in shown.stdout
    out.unlink()
    goals.write_text('floor = 0.5\n[[goal]]\nlabel = "adverse"\nat_most = 0.1', "utf-8")
    failed = CliRunner().invoke(cli, ["policy", "target", str(goals), folder, "--out", str(out)])
    assert isinstance(failed.exception, InfeasibleError) and not out.exists()
