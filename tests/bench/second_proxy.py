"""Which second proxy an audit's strata should have, and whether a gate of AI terms would mend false alarms.

Real training documents and background, each with the scores of a model that saw nothing of its source, weigh as they
would on the web: positives, other texts about AI, texts that are not about AI but have an AI term, and the rest. The
third kind has a weight of its own, since background was chosen for having no word that points to an artificial mind:
unweighted, any list of such words would look perfect. Audits are simulated on these documents with their own pairs of
score and proxy. Intervals resample sources. ``python -m tests.bench.second_proxy`` writes figures and tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from classifiers.baselines import AI_TERMS as BROAD
from classifiers.calibration import log_odds
from classifiers.cross_validation import cross_validate
from classifiers.evaluation import draws_of_sources, over_sources
from classifiers.features import plain_words
from classifiers.lexicon import AI_WORDS, NONE, SLOPE
from classifiers.linear import LinearOptions
from classifiers.scored import ScoredTexts
from jobs.measure import WEB, of_cross_validation
from jobs.train import trainer_of
from jobs.training_data import load_training_data
from labels.background import mentions_ai
from pipeline.prevalence.strata import CELLS, Histogram, cells, make_strata
from pipeline.schema import Estimate
from tests.bench.coverage import DOCUMENTS, Population, audits, simple_width

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Figures = dict[str, dict[str, Estimate]]

TARGET, ABOUT = "adverse", "ai"
USUAL = "score of ai"
WINDOW = "score of adverse, strongest window"
NOTHING, COUNTED, ANY = "none", "AI terms by frequency (ai_terms)", "any AI term"
LOW = 0.01
"""A score is low that is not among the highest hundredth of the web's."""
TOP = (0.01, 0.05, 0.2)
RANKING = (
    *(f"missed ones in its top {share:.0%}" for share in TOP),
    "average precision of missed ones",
    f"positives in the rank's top {LOW:.0%}",
)
AUDITS = ((1e-2, 2_000), (1e-3, 2_000), (1e-3, 10_000))
"""Prevalences and labels of simulated audits."""
GATES = (1e-3, 1e-2)
RESAMPLES, AUDITED, RESAMPLED_AUDITS = 500, 300, 40


@dataclass(frozen=True)
class Documents:
    """By document: whether it is positive, about AI, background, or has an AI term or another word that points to an
    artificial mind; its score; each proxy, in log-odds or counts, whose order alone matters. ``share``: of the web, not
    about AI but with such a word."""

    truth: Bools
    about: Bools
    ordinary: Bools
    pointing: Bools
    score: Floats
    proxies: Mapping[str, Floats]
    sources: Sequence[str]
    share: float

    def weights(self, rows: Ints, prevalence: float = WEB[TARGET]) -> Floats:
        """What each of some documents stands for on the web, in all 1."""
        about = max(WEB[ABOUT], 2 * prevalence)
        truth, on_ai, pointing = self.truth[rows], self.about[rows], self.pointing[rows]
        kind = np.where(truth, 0, np.where(on_ai, 1, np.where(pointing, 2, 3)))
        shares = np.array([prevalence, about - prevalence, self.share, 1 - about - self.share])
        weights = shares[kind] / np.bincount(kind, minlength=4)[kind]
        return np.asarray(weights / weights.sum())


def documents_of(texts: ScoredTexts, share: float) -> Documents:
    """Real documents and background, with all proxies that are compared."""
    kept = texts.of(~texts.written)
    words = [plain_words(text) for text in kept.texts]
    counts = _counts(words, AI_WORDS)
    rows = np.array([2 * len(one) for one in words]) + LinearOptions.prior_weight
    counted, usual = np.minimum(NONE + SLOPE * counts / rows, 8), log_odds(kept.document[ABOUT])
    proxies = {
        NOTHING: np.zeros(len(words)),
        USUAL: usual,
        "score of ai, strongest window": log_odds(kept.window[ABOUT]),
        WINDOW: log_odds(kept.window[TARGET]),
        COUNTED: counted,
        "AI terms, counted": counts,
        "AI terms, counted up to 3": np.minimum(counts, 3),
        ANY: np.minimum(counts, 1),
        "the baselines' longer list, by frequency": _counts(words, BROAD) / rows,
        "ai and ai_terms, mean of log-odds": (usual + counted) / 2,
    }
    pointing = points_to_ai(kept.texts)
    truth, score = kept.truth(TARGET), kept.document[TARGET]
    return Documents(truth, kept.about_ai, ~kept.read, pointing, score, proxies, list(kept.sources), share)


def points_to_ai(texts: Sequence[str]) -> Bools:
    """Whether each text has an AI term or another word that points to an artificial mind."""
    terms = frozenset(AI_WORDS)
    return np.array([mentions_ai(text) or not terms.isdisjoint(plain_words(text)) for text in texts], bool)


def _counts(texts: Sequence[list[bytes]], words: Collection[bytes]) -> Floats:
    return np.array([sum(word in words for word in text) for text in texts], np.float64)


def tails(values: Floats, weights: Floats) -> Floats:
    """The weight of all documents whose value is as high or higher, (documents,)."""
    distinct, at = np.unique(values, return_inverse=True)
    return np.asarray(np.cumsum(np.bincount(at, weights, len(distinct))[::-1])[::-1][at])


def found_in_top(share: float, values: Floats, truth: Bools, weights: Floats) -> float:
    """Of the positives, the share among the documents of highest value that make ``share`` of the weight; documents of
    one value are taken in random order, on average."""
    if not truth.any():
        return float("nan")
    distinct, at = np.unique(-values, return_inverse=True)
    whole = np.bincount(at, weights, len(distinct))
    ends = np.cumsum(whole)
    part = np.clip((share * ends[-1] - (ends - whole)) / np.maximum(whole, 1e-300), 0, 1)
    return float(part @ np.bincount(at, weights * truth, len(distinct)) / (weights @ truth))


def weighted_precision(values: Floats, truth: Bools, weights: Floats) -> float:
    """Average precision of weighted documents, ties counted together; NaN without a positive."""
    if not truth.any():
        return float("nan")
    distinct, at = np.unique(-values, return_inverse=True)
    gained = np.bincount(at, weights * truth, len(distinct))
    precision = np.cumsum(gained) / np.maximum(np.cumsum(np.bincount(at, weights, len(distinct))), 1e-300)
    return float(gained @ precision / gained.sum())


def ranking(documents: Documents, rows: Ints) -> Floats:
    """By proxy the figures of `RANKING`, (proxies, figures): of low scores, and of the rank that strata are cut of."""
    weights, score, truth = documents.weights(rows), documents.score[rows], documents.truth[rows]
    above = tails(score, weights)
    low = above > LOW
    found = []
    for proxy in documents.proxies.values():
        missed = proxy[rows][low], truth[low], weights[low]
        product = above * tails(proxy[rows], weights)
        tops = [found_in_top(share, *missed) for share in TOP]
        found.append([*tops, weighted_precision(*missed), found_in_top(LOW, -product, truth, weights)])
    return np.array(found)


def rank_rows(documents: Documents, resamples: int) -> dict[str, Figures]:
    """For each proxy its figures, and by how much they are above those of the usual one."""
    whole = ranking(documents, np.arange(len(documents.truth)))
    draws = draws_of_sources(documents.sources, resamples, seed=0)
    values = np.stack([whole, *(ranking(documents, rows) for rows in track(draws, "ranking", total=resamples))])
    more = values - values[:, [list(documents.proxies).index(USUAL)]]
    return {
        name: {
            what: {"value": _of_draws(values[:, i, j]), "more": _of_draws(more[:, i, j])}
            for j, what in enumerate(RANKING)
        }
        for i, name in enumerate(documents.proxies)
    }


def _of_draws(values: Floats) -> Estimate:
    """The first value, with the percentile interval of the others."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high), len(values) - 1, "bootstrap of sources")


def population(documents: Documents, name: str, rows: Ints, prevalence: float) -> Population:
    """`DOCUMENTS` documents with the pairs of score and proxy of some rows, in strata as a plan makes them."""
    weights = documents.weights(rows, prevalence)
    proxy = 1 / (1 + np.exp(-documents.proxies[name][rows]))
    at = cells(documents.score[rows]) * CELLS + cells(proxy)
    size = weights * DOCUMENTS
    positive = np.rint(np.bincount(at, size * documents.truth[rows], CELLS * CELLS)).astype(np.int64)
    rest = np.rint(np.bincount(at, size * ~documents.truth[rows], CELLS * CELLS)).astype(np.int64)
    sums = np.zeros((CELLS, CELLS, 5))
    sums[..., 0] = (positive + rest).reshape(CELLS, CELLS)
    strata = make_strata(Histogram(sums, np.zeros(5)), prevalence)
    held = np.bincount(strata.table.ravel().clip(0), positive, len(strata)).astype(np.int64)
    lowest = np.flatnonzero([one.lowest for one in strata])
    return Population(np.array([one.documents for one in strata], np.int64), held, lowest, (strata, positive, rest))


def widths(documents: Documents, names: Sequence[str], prevalence: float, labels: int, resamples: int) -> Figures:
    """By proxy the mean width of simulated audits' intervals, over that of a simple random sample, the share of
    positives in the lowest stratum, and what the width has over the usual proxy's."""

    def audited(name: str, rows: Ints, count: int, seed: int) -> tuple[float, float]:
        made = population(documents, name, rows, prevalence)
        figures = [one.estimate for one, _ in islice(audits(made, labels, prevalence, "plain", seed), count)]
        width = float(np.mean([one.high - one.low for one in figures])) / simple_width(prevalence, labels)
        return width, float(made.positives[made.lowest].sum() / made.positives.sum())

    whole = np.arange(len(documents.truth))
    found = {name: [audited(name, whole, AUDITED, 0)] for name in names}
    draws = draws_of_sources(documents.sources, resamples, seed=0)
    for seed, rows in enumerate(track(draws, f"audits at {prevalence:g}, {labels}", total=resamples), 1):
        for name in names:
            found[name].append(audited(name, rows, RESAMPLED_AUDITS, seed))
    width = {name: np.array([one for one, _ in its]) for name, its in found.items()}
    return {
        name: {
            "width": _of_draws(width[name]),
            "lowest": _of_draws(np.array([one for _, one in found[name]])),
            "more": _of_draws(width[name] - width[USUAL]),
        }
        for name in names
    }


def recall_at(rate: float, scores: Floats, truth: Bools, weights: Floats) -> float:
    """The share of positives over the threshold that so much of the negatives' weight passes; a score of 0 flags
    nothing."""
    passed = tails(scores, weights * ~truth) / (weights @ ~truth)
    return float(np.mean((passed[truth] <= rate + 1e-12) & (scores[truth] > 0)))


def gate_rows(documents: Documents, resamples: int) -> dict[str, Figures]:
    """Recall at false positive rates, of background as it is and of all texts that are not about AI weighed as on the
    web, without a gate, with one (no AI term, no alarm), and what it adds."""
    gated = documents.score * documents.proxies[ANY]

    def recall(rows: Ints, scores: Floats, rate: float, *, web: bool) -> float:
        negative = ~documents.about if web else documents.ordinary
        rows = rows[documents.truth[rows] | negative[rows]]
        weights = documents.weights(rows) if web else np.ones(len(rows))
        return recall_at(rate, scores[rows], documents.truth[rows], weights)

    found: dict[str, Figures] = {}
    for web in (False, True):
        for rate in GATES:
            ways: dict[str, Callable[[Ints], float]] = {
                "without": lambda rows, r=rate, w=web: recall(rows, documents.score, r, web=w),
                "gated": lambda rows, r=rate, w=web: recall(rows, gated, r, web=w),
            }
            ways["more"] = lambda rows, w=ways: w["gated"](rows) - w["without"](rows)
            figures = {k: over_sources(one, documents.sources, resamples=resamples) for k, one in ways.items()}
            found.setdefault("not about AI, as on the web" if web else "background as it is", {})[f"{rate:g}"] = figures
    return found


def markdown(ranks: Mapping[str, Figures], audited: Mapping[str, Figures], gates: Mapping[str, Figures]) -> str:
    """Three tables: how proxies rank, how wide audits are, and what the gate does."""
    what = list(next(iter(ranks.values())))
    lines = ["| second proxy | " + " | ".join(what) + " | more than ai |", "| --- " * (len(what) + 2) + "|"]
    for name, figures in ranks.items():
        told = [_told(figures[one]["value"]) for one in what]
        lines.append(f"| {name} | " + " | ".join([*told, _told(figures[what[-1]]["more"], "+")]) + " |")
    heads = [cell for one in audited for cell in (one, "less or more than ai", "positives in the lowest stratum")]
    lines += ["", "| second proxy | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for name in next(iter(audited.values())):
        cells_of = [
            _told(its[name][part], sign)
            for its in audited.values()
            for part, sign in (("width", ""), ("more", "+"), ("lowest", ""))
        ]
        lines.append(f"| {name} | " + " | ".join(cells_of) + " |")
    lines += ["", "| negatives | false positive rate | recall | with the gate | more |", "| --- " * 5 + "|"]
    for negatives, by_rate in gates.items():
        for rate, its in by_rate.items():
            told = [_told(its["without"]), _told(its["gated"]), _told(its["more"], "+")]
            lines.append(f"| {negatives} | {rate} | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def _told(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def scored(labels: Sequence[str], texts: str, encoder: Path | None, further_words: int, folds: int) -> ScoredTexts:
    """The training documents by the shipped recipe, each with the scores of a model that saw nothing of its source."""
    examples = load_training_data(labels, [texts], [texts]).training
    trainer = trainer_of(LinearOptions(), examples, encoder, further_words if encoder else 0)
    return of_cross_validation(*cross_validate(examples, trainer, folds), {})


def main() -> None:
    """Write figures and tables for each share of the web that has an AI term without being about AI."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.second_proxy", description=__doc__)
    parser.add_argument("--labels", nargs="+", default=["labels/seed", "labels/real"], help="label records")
    parser.add_argument("--texts", required=True, help="folder with the texts that they point to, and ordinary ones")
    parser.add_argument("--encoder", type=Path, help="folder of a sentence-transformers model, as for train")
    parser.add_argument("--further-words", type=int, default=40_000, help="as for train; with --encoder")
    parser.add_argument("--folds", type=int, default=5, help="of whole sources")
    parser.add_argument("--share", type=float, nargs="+", default=[0.04, 0.01, 0.1],
                        help="of the web, not about AI but with an AI term")  # fmt: skip
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of sources; a tenth for simulated audits")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for figures and tables")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    texts = scored(arguments.labels, arguments.texts, arguments.encoder, arguments.further_words, arguments.folds)
    few, compared = max(2, arguments.resamples // 10), (NOTHING, USUAL, WINDOW, COUNTED, ANY)
    for share in arguments.share:
        documents = documents_of(texts, share)
        ranks, gates = rank_rows(documents, arguments.resamples), gate_rows(documents, arguments.resamples)
        audited = {f"width at {p:g}, {n:,} labels": widths(documents, compared, p, n, few) for p, n in AUDITS}
        name, found = f"second_proxy_{share:g}", {"ranking": ranks, "audits": audited, "gate": gates}
        plain = json.dumps(found, indent=1, default=asdict)
        (arguments.out / f"{name}.json").write_text(plain, "utf-8")
        (arguments.out / f"{name}.md").write_text(markdown(ranks, audited, gates), "utf-8")
        print(f"AI terms in {share:.0%} of the web's texts that are not about AI\n\n{markdown(ranks, audited, gates)}")


if __name__ == "__main__":
    main()
