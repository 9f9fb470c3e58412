// The annotator's page: keys, the codebook's rules as one chooses, marks by dragging or by keyboard, the model on demand.
// Everything but marks, keys and evidence works without it. Places in the text are code points, as in the records.
"use strict";

const one = (selector) => document.querySelector(selector);
const form = one("#judgement");
const box = (name) => form.querySelector(`[name=${name}]`); // form.elements has a method "item" of its own

// ---- the codebook's rules, live -----------------------------------------------------------------------------------
function follow(changed) {
  const implying = ["hostile", "self_preserving", "admirable"];
  if (changed === "none" && box("none").checked) for (const name of ["ai", ...implying]) box(name).checked = false;
  if (implying.includes(changed) && box(changed).checked) box("ai").checked = true;
  if (changed === "ai" && !box("ai").checked) for (const name of implying) box(name).checked = false;
  if (box("ai").checked) box("none").checked = false;
  const adverse = box("hostile").checked || box("self_preserving").checked;
  one("#adverse").textContent = adverse ? "adverse: yes" : "adverse: no";
  one("#modes").disabled = !box("ai").checked;
  if (changed) complain("");
}

function complain(words) {
  one("#error").textContent = words;
  one("#error").hidden = !words;
}

function missing() {
  if (!box("ai").checked && !box("none").checked) return "Choose a label, or “none of these”.";
  if (box("ai").checked && !form.querySelector("[name=mode]:checked")) return "Choose a mode: a text about AI has one.";
  return "";
}

function save() {
  const wrong = missing();
  if (wrong) complain(wrong);
  else form.requestSubmit(one("#save"));
}

// ---- marks ---------------------------------------------------------------------------------------------------------
let marks = [];
const codePoints = (text) => [...text].length;
const textNode = () => one("#text").firstChild;
const startOfSheet = () => Number(one("#text").dataset.start);

function unitAt(point) { // UTF-16 place on this sheet of a code point of the whole text; null if it is on another sheet
  const within = point - startOfSheet();
  const text = textNode()?.data ?? "";
  if (within < 0) return null;
  let unit = 0;
  for (let k = 0; k < within; k++) {
    if (unit >= text.length) return null;
    unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
  }
  return unit;
}

function range(start, end) { // the part of a span that this sheet shows, or null
  const text = textNode()?.data ?? "";
  const from = unitAt(Math.max(start, startOfSheet()));
  const to = unitAt(Math.min(end, startOfSheet() + codePoints(text)));
  if (from === null || to === null || from >= to) return null;
  const made = document.createRange();
  made.setStart(textNode(), from);
  made.setEnd(textNode(), to);
  return made;
}

function paint(name, spans) {
  if (!window.CSS?.highlights) return;
  CSS.highlights.set(name, new Highlight(...spans.map(([start, end]) => range(start, end)).filter(Boolean)));
}

function showMarks() {
  one("#spans").value = JSON.stringify(marks);
  paint("marked", marks);
  one("#marks").replaceChildren(...marks.map((mark, k) => {
    const item = document.createElement("li");
    const words = document.createElement("bdi");
    const shown = range(...mark);
    words.textContent = shown ? shown.toString() : `characters ${mark[0]} to ${mark[1]}`;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove mark ${k + 1}`);
    remove.addEventListener("click", () => { marks.splice(k, 1); showMarks(); one("#mark").focus(); });
    item.append(words, remove);
    return item;
  }));
}

function selected() { // what is selected of the text, as code points; null if nothing
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const found = selection.getRangeAt(0);
  const node = textNode();
  if (!node || !found.intersectsNode(node)) return null;
  const from = found.startContainer === node ? found.startOffset : 0;
  const to = found.endContainer === node ? found.endOffset : node.data.length;
  const words = node.data.slice(from, to);
  const lead = words.length - words.trimStart().length;
  if (!words.trim()) return null;
  const start = startOfSheet() + codePoints(node.data.slice(0, from + lead));
  return [start, start + codePoints(words.trim())];
}

function mark() {
  const found = selected();
  if (!found) return complain("Select words in the text first, then mark them.");
  if (!marks.some(([start, end]) => start === found[0] && end === found[1])) marks.push(found);
  marks.sort((a, b) => a[0] - b[0]);
  getSelection().removeAllRanges();
  complain("");
  showMarks();
}

let cursor = null; // words selected by keyboard: where it was begun, and where it is

function words() {
  return [...(textNode()?.data ?? "").matchAll(/[\p{L}\p{N}\p{M}’']+/gu)].map((found) => [found.index, found.index + found[0].length]);
}

function moveCursor(step, extend) {
  const all = words();
  if (!all.length) return;
  const at = cursor ? Math.min(Math.max(cursor.at + step, 0), all.length - 1) : 0;
  cursor = { from: extend && cursor ? cursor.from : at, at };
  const [first, last] = [Math.min(cursor.from, at), Math.max(cursor.from, at)];
  getSelection().setBaseAndExtent(textNode(), all[first][0], textNode(), all[last][1]);
  const seen = document.createRange();
  seen.setStart(textNode(), all[at][0]);
  seen.setEnd(textNode(), all[at][1]);
  const { top, bottom } = seen.getBoundingClientRect();
  if (top < 40 || bottom > innerHeight - 40) scrollBy(0, top - innerHeight / 2);
}

const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 };

function textKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in steps) moveCursor(steps[event.key], event.shiftKey);
  else if (event.key === "Enter" && (cursor || selected())) { mark(); cursor = cursor && { from: cursor.at, at: cursor.at }; }
  else if (event.key === "Escape") { getSelection().removeAllRanges(); cursor = null; one("#text").blur(); }
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// ---- the model's evidence, off until asked for -----------------------------------------------------------------------
let evidence = [];

async function toggleEvidence() {
  const button = one("#evidence");
  const on = button.getAttribute("aria-pressed") !== "true";
  if (on && !button.dataset.loaded) {
    const answer = await fetch(button.dataset.url);
    if (!answer.ok) { one("#scores").textContent = "The model's evidence cannot be had now."; return; }
    const { spans, scores } = await answer.json();
    evidence = spans;
    button.dataset.scores = Object.entries(scores).map(([name, value]) => `${name} ${value.toFixed(3)}`).join(" · ");
    button.dataset.loaded = "yes";
  }
  button.setAttribute("aria-pressed", String(on));
  paint("model", on ? evidence : []);
  const nothing = evidence.length ? "" : "The model marks nothing in this text. ";
  one("#scores").textContent = on ? nothing + button.dataset.scores : "";
}

// ---- sheets of a long text: only the text is replaced, so that what was chosen stays ---------------------------------
async function turn(event) {
  const link = event.target.closest("a[data-sheet]");
  if (!link) return;
  event.preventDefault();
  const answer = await fetch(link.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sheet = page.querySelector("#sheet");
  const same = page.querySelector("[name=item]")?.value === box("item").value;
  if (!answer.ok || !sheet || !same) { location.reload(); return; }
  one("#sheet").replaceWith(document.importNode(sheet, true));
  cursor = null;
  watchText();
  showMarks();
  paint("model", one("#evidence")?.getAttribute("aria-pressed") === "true" ? evidence : []);
  one("#text").focus({ preventScroll: true });
  one("#reading").scrollIntoView();
}

function watchText() {
  one("#text").addEventListener("keydown", textKey);
  one("#text").addEventListener("pointerdown", (event) => { dragging = event.pointerType === "mouse"; cursor = null; });
}

let dragging = false;
addEventListener("pointerup", () => {
  if (dragging && form && selected()) mark();
  dragging = false;
});

// ---- keys --------------------------------------------------------------------------------------------------------------
const KEYS_OFF = "tropescan-keys-off";

function press(target) {
  if (target.id === "note") return target.focus();
  if (target.type === "radio" && target.matches(":disabled")) return complain("A mode is for texts about AI: choose ai first.");
  target.click();
  if (target.matches("summary") && target.parentElement.open) target.focus();
}

function key(event) {
  const typing = event.target.matches("textarea, input:not([type=checkbox], [type=radio])");
  if (event.target.id === "note" && event.key === "Escape") return event.target.blur();
  if (event.target.id === "note" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) return save();
  if (typing || event.ctrlKey || event.altKey || event.metaKey || event.repeat || localStorage.getItem(KEYS_OFF)) return;
  if (event.key === "Enter" && form && !event.target.closest("a, button, summary")) { event.preventDefault(); return save(); }
  if (event.key === "t" && form) { event.preventDefault(); one("#text").focus(); return moveCursor(0, false); }
  const target = one(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  press(target);
}

addEventListener("keydown", key);
if (form) {
  marks = JSON.parse(one("#spans").value);
  form.addEventListener("change", (event) => follow(event.target.name));
  form.addEventListener("submit", (event) => {
    const wrong = event.submitter?.id === "save" ? missing() : "";
    if (wrong) { event.preventDefault(); complain(wrong); }
  });
  one("#mark").addEventListener("pointerdown", (event) => event.preventDefault()); // or the selection would be lost
  one("#mark").addEventListener("click", mark);
  one("#evidence")?.addEventListener("click", toggleEvidence);
  one("#reading").addEventListener("click", turn);
  const keys = one("#keys-on");
  keys.checked = !localStorage.getItem(KEYS_OFF);
  keys.addEventListener("change", () => keys.checked ? localStorage.removeItem(KEYS_OFF) : localStorage.setItem(KEYS_OFF, "1"));
  one("#codebook").open = matchMedia("(min-width: 62rem)").matches;
  watchText();
  follow();
  showMarks();
}
