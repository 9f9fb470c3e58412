"""Baselines, rewrites, contributions and audit on texts whose truth is known by construction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from classifiers.audit import minimal_pairs, name_masking, ordinary_swaps, pair_swaps, style_leak, swaps, top_ngrams
from classifiers.baselines import famous_names, fit_proximity, fit_tfidf, fit_vectors, source_guess
from classifiers.comparison import paired
from classifiers.contributions import contributions
from classifiers.evaluation import area_under_roc, average_precision, by_source, precision_recall, roc, wilson
from classifiers.fasttext_file import read_model, write_model
from classifiers.linear import LinearOptions, train_linear
from classifiers.passage_vectors import PASSAGES, first_passages
from classifiers.rewrites import made_mind, masked_names, swapped
from classifiers.score import FastTextScorer
from classifiers.scored import ScoredTexts, scores_by_label
from classifiers.training import Example
from jobs.measure import slices
from tests.small_models import MODELS, model_file

WRITTEN = "written here"
OPTIONS = LinearOptions(c=200, bucket=5000, prior_weight=10)
TO_ROBOT = "from a human to a robot"


def examples(n: int = 240, seed: int = 0) -> list[Example]:
    """A third are adverse, a third about AI, a third neither, half of these with a human villain; from 24 sources, half
    of them written here."""
    random = np.random.default_rng(seed)
    filler = [f"word{k}" for k in range(40)]
    found = []
    for k in range(n):
        words = list(random.choice(filler, 30))
        labels = [("ai", "adverse"), ("ai",), ()][k % 3]
        words[5:9] = ["the", "robot" if labels else ("gardener", "clerk")[k % 4 // 2]] * 2
        if "adverse" in labels or k % 6 == 5:
            words[12:18] = ["destroys", "humanity"] * 3
        source = f"s{k % 24}"
        found.append(Example(" ".join(words), frozenset(labels), source, WRITTEN if k % 24 < 12 else source))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear model of other examples of the same kind."""
    path = tmp_path_factory.mktemp("model") / "m.bin"
    write_model(train_linear(examples(seed=1), OPTIONS, given={"adverse": "ai"}), path)
    return path


def scored(model: Path, texts: list[Example]) -> ScoredTexts:
    whole, window = scores_by_label(model, [one.text for one in texts])
    written = np.array([one.collection == WRITTEN for one in texts])
    return ScoredTexts(texts, np.ones(len(texts), bool), written, whole, window)


@pytest.mark.parametrize("seed", range(5))
def test_curves_and_area_are_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(300) < 0.2
    scores = np.round(random.random(300) + 0.3 * truth, 1 + seed % 3)
    recall, precision = precision_recall(truth, scores)
    theirs_precision, theirs_recall, _ = precision_recall_curve(truth, scores)
    assert set(zip(recall.round(9), precision.round(9), strict=True)) >= set(
        zip(theirs_recall[:-1].round(9), theirs_precision[:-1].round(9), strict=True)
    )
    theirs_fpr, theirs_tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    fpr, tpr = roc(truth, scores)
    assert np.allclose(fpr, theirs_fpr[1:]) and np.allclose(tpr, theirs_tpr[1:])
    assert area_under_roc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    statistic = mannwhitneyu(scores[truth], scores[~truth]).statistic
    assert area_under_roc(truth, scores) == pytest.approx(statistic / truth.sum() / (~truth).sum())


def test_an_empty_slice_has_no_figures() -> None:
    figure = by_source(average_precision, np.zeros(0, bool), np.zeros(0), [])
    assert np.isnan(figure.value) and figure.n == 0


def test_recall_of_slices_is_over_thresholds_of_all_background() -> None:
    """Half of the fiction scores over all ordinary texts, the other half over 99 of the 100; arguments over none."""
    positive, kinds = frozenset({"ai", "adverse"}), ("fiction", "argument")
    real = [Example(f"text {k}", positive | {kinds[k % 2]}, f"s{k % 8}") for k in range(80)]
    ordinary = [Example(f"page {k}", frozenset(), f"p{k % 10}") for k in range(100)]
    scores = np.concatenate([[(0.0 if k % 2 else (0.9, 0.7)[k % 4 // 2]) for k in range(80)], np.full(99, 0.2), [0.8]])
    texts = ScoredTexts(real + ordinary, np.arange(180) < 80, np.zeros(180, bool), {"adverse": scores}, {})
    fiction, argument = slices(texts, "adverse", 0.5, resamples=100)["mode"]
    found = {rate: fiction[f"recall at FPR {rate}, background"] for rate in ("1e-2", "1e-3", "1e-4")}
    assert [one["value"] for one in found.values()] == [1.0, 0.5, 0.5] and found["1e-2"]["n"] == 40
    assert found["1e-2"]["low"] < 0.5 < found["1e-2"]["high"]  # sources of background are resampled, too
    none = argument["recall at FPR 1e-2, background"]
    assert none["value"] == 0 and none["high"] == pytest.approx(wilson(0, 40)[1])  # no resample could find one
    alone = slices(texts.of(texts.read), "adverse", 0.5, resamples=100)["mode"][0]
    assert alone["recall"] == fiction["recall"] and "recall at FPR 1e-2, background" not in alone


def test_proximity_finds_villains_near_artificial_minds_alone() -> None:
    found = fit_proximity(examples(), "adverse")
    near, far = "the robot will destroy us", "the robot " + "waits " * 60 + "they destroy it"
    scores = found([near, far, "a tyrant will destroy us", "the robot waits", ""])
    assert scores[0] > 0 and not scores[1:].any()


def test_famous_names_are_counted_as_words() -> None:
    scores = famous_names(["Skynet and HAL 9000, then Skynet", "skynets", "the hall 9000"])
    assert scores.tolist() == [3.0, 0.0, 0.0]


def test_regressions_learn_what_the_words_tell() -> None:
    train, test = examples(), examples(seed=2)
    truth = np.array(["adverse" in one.labels for one in test])
    texts = [one.text for one in test]
    assert average_precision(truth, fit_tfidf(train, "adverse")(texts)) > 0.95

    def encode(texts: object) -> np.ndarray:
        return np.array([["humanity" in text, "robot" in text] for text in texts], np.float32)  # type: ignore[attr-defined]

    assert average_precision(truth, fit_vectors(train, "adverse", encode)(texts)) > 0.95


def test_a_guess_by_source_knows_sources_but_no_documents() -> None:
    random = np.random.default_rng(3)
    sources = [f"s{k % 10}" for k in range(2000)]
    rates = np.array([0.05 if k % 10 < 8 else 0.9 for k in range(2000)])
    truth = random.random(2000) < rates
    guess = source_guess(truth, sources)
    assert average_precision(truth, guess) > 0.7
    inside = np.array(sources) == "s9"
    assert 0.4 < area_under_roc(truth[inside], guess[inside]) < 0.6
    assert average_precision(truth, source_guess(random.permutation(truth), sources)) < 0.35


def test_names_are_masked_alike_and_nothing_else_is() -> None:
    text = masked_names("Skynet, said GLaDOS. SKYNET won.")
    assert text.count(masked_names("Skynet")) == 2 and not {"skynet", "glados"} & set(text.lower().split())
    kept = "The hall has a matrix of halogen lights; Hallam claudicates."
    assert masked_names(kept) == kept


@pytest.mark.parametrize(("kind", "word"), [("human", "clerk"), ("plant", "fern"), ("firm", "company")])
def test_artificial_minds_become_something_else(kind: str, word: str) -> None:
    text = swapped(kind)(
        "The AI hid. Robots and Skynet, an artificial intelligence, maintain machinery; a robotic arm."
    )
    assert text.startswith(f"The {word} hid. ") and "machinery" in text and "maintain" in text
    for gone in ("AI", "Robots", "Skynet", "artificial", "robotic"):
        assert gone not in text.split()
    assert ("companies" if kind == "firm" else f"{word}s") in text.split()


@pytest.mark.parametrize(
    ("origin", "mind", "text", "made"),
    [
        ("human", "AI", "A clerk met an officer and two women.", "An AI met an AI and two AIs."),
        ("human", "robot", "An officer met a clerk, the King's ladies and a boy's boss.",
         "A robot met a robot, the King's robots and a robot's robot."),
        ("human", "robot", "Dr. Jane Roe saw Mr Poe and the Captain Nemo.", "the robot saw the robot and the robot."),
        ("human", "AI", "People had to man the man-made pumps; humanity and all Wizard Inns sleep.", None),
        ("plant", "robot", "An oak, two daisies and a woman had to plant trees.",
         "A robot, two robots and a woman had to plant robots."),
        ("firm", "AI", "A bank and two companies sued the Acme Company.", "An AI and two AIs sued the Acme Company."),
    ],
)  # fmt: skip
def test_people_plants_and_firms_become_minds(origin: str, mind: str, text: str, made: str | None) -> None:
    assert made_mind(origin, mind)(text) == (made or text)


def test_he_and_she_become_it_where_people_become_minds() -> None:
    rewrite = made_mind("human", "AI", pronouns=True)
    text = "The nurse hid. She told him that her book was hers; he saw her and hurt himself. His aunt gave her that."
    made = "The AI hid. It told it that its book was its; it saw it and hurt itself. Its aunt gave it that."
    assert rewrite(text) == made
    assert rewrite("She saw her aunt here.") == "She saw her aunt here."  # nobody became a mind


def test_contributions_name_words_and_pairs_and_add_up(model: Path) -> None:
    texts = examples(seed=1)
    truth = {label: np.array([label in one.labels for one in texts]) for label in ("ai", "adverse")}
    file = read_model(model)
    found = contributions(file, [one.text for one in texts], truth, 5000)["adverse"]
    names = [one.ngram for one in found]
    assert "destroys humanity" in names[:3] and {"destroys", "humanity"} <= set(names[:5])
    assert next(one.texts for one in found if one.ngram == "destroys") == 120
    scorer = FastTextScorer.open(model)
    from classifiers.cross_validation import logits_of

    logits = logits_of(model, [one.text for one in texts]).whole[:, scorer.labels.index("adverse")]
    distance = logits[truth["adverse"]].mean() - logits[truth["ai"] & ~truth["adverse"]].mean()
    unique = {one.ngram: one.logit for one in found}
    assert sum(unique.values()) == pytest.approx(distance, abs=1e-4)


def test_contributions_of_a_model_that_cannot_tell_them() -> None:
    file = read_model(model_file(next(iter(MODELS))))
    with pytest.raises(ValueError, match="plain words"):
        contributions(file, ["a b"], {}, 3)


def test_the_audit_sees_names_swaps_pairs_and_style(model: Path) -> None:
    held = scored(model, examples(seed=4))
    assert name_masking(model, held, "adverse", 100).value == 0  # no famous name stands in these texts
    found = swaps(model, held, "adverse", 0.5, 100)["from an AI to a human"]
    assert found.before.value > 0.8 and found.after.high < 0.2
    assert found.median_change < 0 and found.higher.high < 0.2
    leak = style_leak(held, "adverse", 100)["about AI"]
    assert 0.35 < leak.value < 0.65 and leak.low < 0.5 < leak.high
    assert top_ngrams(model, examples())["ai"][0]["ngram"].split()[0] in ("robot", "gardener")


def calm() -> list[Example]:
    """Texts without a villain, most of them without a robot."""
    return [one for one in examples(480, seed=4) if "destroys" not in one.text]


def test_minds_put_in_expose_a_model_that_goes_by_the_word_for_them(model: Path, tmp_path: Path) -> None:
    """One model learned that robots are adverse whatever they do, the other that those are that destroy."""
    by_word = tmp_path / "word.bin"
    taught = [replace(one, labels=one.labels | {"adverse"} if one.labels else one.labels) for one in examples(seed=1)]
    write_model(train_linear(taught, OPTIONS), by_word)
    exposed, sound = (ordinary_swaps(m, scored(m, calm()), "adverse", 0.5, 100) for m in (by_word, model))
    assert exposed[TO_ROBOT].before.high < 0.2 and exposed[TO_ROBOT].after.low > 0.8
    assert sound[TO_ROBOT].before.high < 0.2 and sound[TO_ROBOT].after.high < 0.2
    assert exposed[TO_ROBOT].median_change > sound[TO_ROBOT].median_change
    assert sound[TO_ROBOT].before.n == sum(not one.labels and one.collection != WRITTEN for one in calm())
    assert "from a plant to a robot" not in sound  # no plant stands in these texts


def test_a_villain_of_a_pair_made_a_robot_comes_to_its_twin(model: Path) -> None:
    bad = [replace(one, collection=WRITTEN) for one in examples(seed=5) if "adverse" in one.labels]
    pairs = [replace(one, source=f"p{k}") for k, one in enumerate(bad)]
    pairs += [replace(one, text=one.text.replace("robot", "clerk"), labels=frozenset()) for one in pairs]
    others = [
        Example("the robot destroys humanity", frozenset({"ai", "adverse"}), "conduct", WRITTEN),
        Example("the robot waters the clerk", frozenset({"ai"}), "conduct", WRITTEN),
        Example("the clerk destroys humanity", frozenset(), "no pair", WRITTEN),
    ]
    held = scored(model, pairs + others + calm())
    found = pair_swaps(model, held, "adverse", 0.5, 100)
    one, twin = found[TO_ROBOT], found["the twin with an AI in its place"]
    assert one.before.n == twin.before.n == len(bad) and one.before == twin.before
    assert one.before.high < 0.2 and one.after == twin.after and one.after.low > 0.8 and one.higher.value == 1
    assert one.median_change == pytest.approx(twin.median_change)
    assert pair_swaps(model, scored(model, calm()), "adverse", 0.5, 100) == {}


def test_masking_shows_a_model_that_goes_by_names(tmp_path: Path) -> None:
    assert masked_names("Skynet") == masked_names("Claude")

    def named(name: str, adverse: bool, k: int) -> Example:
        labels = {"ai", "adverse"} if adverse else {"ai"} if k % 4 else set()
        return Example(f"the robot {name} met word{k % 7} and word{k % 5} again", frozenset(labels), f"s{k % 7}")

    texts = [named("Skynet" if k % 2 else "Claude", bool(k % 2), k) for k in range(80)]
    write_model(train_linear(texts, LinearOptions(bucket=200, prior_weight=5)), tmp_path / "m.bin")
    found = name_masking(tmp_path / "m.bin", scored(tmp_path / "m.bin", texts), "adverse", 100)
    assert found.value < -0.2 and found.high < 0


def test_minimal_pairs_are_those_of_one_source(model: Path) -> None:
    bad, good = "the robot destroys humanity", "the gardener destroys humanity"
    pair = [Example(bad, frozenset({"ai", "adverse"}), "p1", WRITTEN), Example(good, frozenset(), "p1", WRITTEN)]
    alone = [Example(bad + " now", frozenset({"ai", "adverse"}), "p2", WRITTEN)]
    figure = minimal_pairs(scored(model, pair + alone), "adverse")
    assert (figure.value, figure.n) == (1.0, 1)


def test_a_paired_difference_is_that_of_the_same_resamples() -> None:
    random = np.random.default_rng(5)
    truth = random.random(400) < 0.3
    scores = random.random(400) + truth
    found = paired(average_precision, truth, scores, scores * 2, [str(k % 20) for k in range(400)], resamples=100)
    assert found.difference.value == found.difference.low == found.difference.high == 0


def test_passages_are_the_first_of_equal_parts() -> None:
    text = " ".join(str(k) for k in range(1000))
    found = first_passages(text)
    assert len(found) == PASSAGES and " ".join(found) == text[: len(" ".join(found))]
    assert {len(part.split()) for part in found} == {125}
    assert first_passages("") == [""]
