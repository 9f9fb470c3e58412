"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const count = data.words.length;
const factor = data.stratum.map((at) => data.strata[at].documents / data.strata[at].sampled);
const byId = (id) => document.getElementById(id);
const sliders = ["threshold", "keep", "lower", "raise"];
const whole = new Intl.NumberFormat("en");
const STEPS = 400, REACH = 9;

/* The threshold's slider moves in equal steps of log-odds; its last step is 1 and more: nothing is dropped. */
const toScore = (step) => step >= STEPS ? Infinity : 1 / (1 + Math.exp(REACH - 2 * REACH * step / STEPS));
const toStep = (score) => (Math.log(score / (1 - score)) + REACH) * STEPS / (2 * REACH);

function settings() {
  const [step, keep, lower, raise] = sliders.map((name) => Number(byId(name).value));
  return { threshold: toScore(step), keep: keep / 100, lower: lower / 100, raise: raise / 10 };
}

/* How often a document counts: a straight line from 1 at score 0 to 1 - lower at the threshold, the share kept over it;
   times a straight line from 1 to 1 + raise by the other label's score. */
function weightsFor(s) {
  const end = Math.min(1, s.threshold);
  const weights = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const score = data.score[i];
    const lowered = score >= s.threshold ? s.keep : 1 - s.lower * Math.max(0, score) / end;
    weights[i] = lowered * (1 + s.raise * Math.max(0, data.raised[i]));
  }
  return weights;
}

/* Estimate of a total over all documents, and its standard error (stratified sampling without replacement). */
function total(value) {
  const sums = data.strata.map(() => [0, 0]);
  for (let i = 0; i < count; i++) {
    const x = value(i), at = sums[data.stratum[i]];
    at[0] += x;
    at[1] += x * x;
  }
  let estimate = 0, variance = 0;
  data.strata.forEach(({ documents: N, sampled: n }, h) => {
    if (n === 0) return;
    estimate += N * sums[h][0] / n;
    if (n > 1) variance += N * N * (1 - n / N) * Math.max(0, sums[h][1] - sums[h][0] ** 2 / n) / (n - 1) / n;
  });
  return { estimate, error: Math.sqrt(variance) };
}

function percent(share) {
  if (!Number.isFinite(share)) return "–";
  return Number((100 * share).toPrecision(3)) + "\u00a0%";
}

function put(id, text) { byId(id).textContent = text; }

const sure = (value, error) =>
  whole.format(Math.round(value)) + (error > 0 ? ` ± ${whole.format(Math.ceil(1.96 * error))}` : "");

function card(id, part, of, error) {
  put(id, percent(part / of));
  put(id + "-of", `${sure(part, error)} of ${whole.format(Math.round(of))}`);
}

const holds = (i) => data.score[i] >= data.threshold ? 1 : 0;
const holdsOther = (i) => data.raised[i] >= data.raised_threshold ? 1 : 0;

function draw() {
  const s = settings(), w = weightsFor(s);
  put("threshold-is", Number.isFinite(s.threshold) ? s.threshold.toPrecision(3) : "none is dropped");
  put("keep-is", percent(s.keep));
  put("lower-is", s.lower.toFixed(2));
  put("raise-is", "× " + (1 + s.raise).toFixed(1) + " at score 1");
  const documents = data.corpus.documents, words = data.corpus.words;
  const gone = total((i) => data.score[i] >= s.threshold ? 1 - s.keep : 0);
  card("documents", gone.estimate, documents, gone.error);
  const lost = total((i) => (1 - w[i]) * data.words[i]);
  put("words", percent(-lost.estimate / words).replace(/^(?=\d)/, "+"));
  put("words-of", `${sure(words - lost.estimate, lost.error)}, ${whole.format(words)} before`);
  const label = total((i) => holds(i) * data.words[i] * w[i]), labelBefore = total((i) => holds(i) * data.words[i]);
  card("label", label.estimate, labelBefore.estimate, label.error);
  const other = total((i) => holdsOther(i) * data.words[i] * w[i]), otherBefore = total((i) => holdsOther(i) * data.words[i]);
  card("other", other.estimate, otherBefore.estimate, other.error);
  put("ratio", label.estimate > 0 ? (other.estimate / label.estimate).toPrecision(3) : "–");
  put("ratio-of", labelBefore.estimate > 0 ? (otherBefore.estimate / labelBefore.estimate).toPrecision(3) + " before" : "");
  const sum = total((i) => w[i]).estimate, squares = total((i) => w[i] * w[i]).estimate;
  put("size", percent(squares > 0 ? sum * sum / squares / documents : 0));
  put("size-of", `${whole.format(Math.round(squares > 0 ? sum * sum / squares : 0))} documents of equal weight`);
  table("modes-live", data.modes, data.mode, w);
  table("topics-live", data.topics, data.topic, w);
  table("domains-live", data.domains, data.domain, w);
  plot(s);
}

/* Words before and after by group, those that change most first. */
function table(id, names, groups, w) {
  const body = byId(id);
  if (!body) return;
  const before = new Float64Array(names.length), after = new Float64Array(names.length);
  for (let i = 0; i < groups.length; i++) {
    const words = factor[i] * data.words[i];
    before[groups[i]] += words;
    after[groups[i]] += words * w[i];
  }
  const order = [...names.keys()].filter((k) => before[k] > 0)
    .sort((a, b) => Math.abs(after[b] - before[b]) - Math.abs(after[a] - before[a])).slice(0, 12);
  body.replaceChildren(...order.map((k) => row([names[k], whole.format(Math.round(before[k])),
    whole.format(Math.round(after[k])), change(before[k], after[k])])));
}

function change(before, after) {
  const value = 100 * (after / before - 1);
  return (value > 0 ? "+" : "") + Number(value.toPrecision(3)) + "\u00a0%";
}

function row(cells) {
  const line = document.createElement("tr");
  cells.forEach((text, i) => {
    const cell = document.createElement("td");
    if (i === 0) {
      cell.className = "name";
      cell.append(document.createElement("bdi"));
      cell.firstChild.textContent = text;
    } else cell.textContent = text;
    line.append(cell);
  });
  return line;
}

/* Share of words kept at each threshold, of all and of the label, with the other settings as they are. */
function plot(s) {
  const points = { all: [], label: [] };
  const totals = { all: data.corpus.words, label: total((i) => holds(i) * data.words[i]).estimate };
  for (let k = 0; k <= 40; k++) {
    const step = k * STEPS / 40;
    const w = weightsFor({ ...s, threshold: toScore(step) });
    const x = 40 + k * 10;
    let all = 0, label = 0;
    for (let i = 0; i < count; i++) {
      const words = factor[i] * data.words[i] * w[i];
      all += words;
      label += holds(i) * words;
    }
    const y = (share) => (160 - 140 * Math.min(1.2, share) / 1.2).toFixed(1);
    if (totals.all > 0) points.all.push(`${x},${y(all / totals.all)}`);
    if (totals.label > 0) points.label.push(`${x},${y(label / totals.label)}`);
  }
  for (const name of ["all", "label"]) byId("line-" + name).setAttribute("points", points[name].join(" "));
  const at = 40 + 400 * Number(byId("threshold").value) / STEPS;
  byId("mark").setAttribute("x1", at);
  byId("mark").setAttribute("x2", at);
}

function reset() {
  byId("threshold").value = toStep(data.threshold);
  byId("keep").value = 0;
  byId("lower").value = 0;
  byId("raise").value = 0;
  draw();
}

if (count > 0) {
  byId("live").hidden = false;
  let waiting = false;
  for (const name of sliders) {
    byId(name).addEventListener("input", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    });
  }
  byId("reset").addEventListener("click", reset);
  reset();
}
