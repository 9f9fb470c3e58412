"use strict";
// What a pointer, a slider and a list add to a page that is complete without them. Text is set as text, never as markup.

function tooltip(figure) {
  const box = document.createElement("div");
  const dot = document.createElement("div");
  box.className = "tip";
  dot.className = "tip-dot";
  box.hidden = dot.hidden = true;
  figure.append(dot, box);
  return (point) => {
    box.hidden = dot.hidden = !point;
    if (!point) return;
    const image = figure.querySelector("img");
    const [x, y] = [point[0] * image.clientWidth, point[1] * image.clientHeight];
    box.textContent = point[2];
    dot.style.left = `${x}px`;
    dot.style.top = `${y}px`;
    box.style.left = `${Math.max(0, Math.min(x - 20, image.clientWidth - box.offsetWidth))}px`;
    box.style.top = `${y + 10}px`;
  };
}

function nearest(points, x, y, image) {
  const distance = (p) => Math.hypot((p[0] - x) * image.clientWidth, ((p[1] - y) * image.clientHeight) / 4);
  return points.reduce((best, p) => (distance(p) < distance(best) ? p : best));
}

const followers = [];
for (const figure of document.querySelectorAll("figure[data-points]")) {
  const points = JSON.parse(figure.dataset.points);
  const image = figure.querySelector("img");
  const show = tooltip(figure);
  if (figure.classList.contains("follows")) followers.push((index) => points[index] && show([points[index][0], points[index][1], ""]));
  image.addEventListener("pointermove", (event) => {
    const frame = image.getBoundingClientRect();
    const [x, y] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    show(nearest(points, x, y, image));
  });
  image.addEventListener("pointerleave", () => show(null));
}

const slider = document.querySelector(".cost-slider");
if (slider) {
  const rows = [...document.querySelectorAll("#costs tbody tr")];
  const [input, output] = [slider.querySelector("input"), slider.querySelector("output")];
  const move = () => {
    rows.forEach((row, index) => row.classList.toggle("chosen", index === Number(input.value)));
    output.textContent = rows[input.value].dataset.said;
    followers.forEach((show) => show(Number(input.value)));
  };
  input.value = Math.max(0, rows.findIndex((row) => row.classList.contains("own")));
  input.addEventListener("input", move);
  slider.hidden = false;
  move();
}

const picker = document.querySelector(".picker");
if (picker) {
  const [list, output] = [picker.querySelector("select"), picker.querySelector("output")];
  const articles = [...document.querySelectorAll("article[data-labels]")];
  list.addEventListener("change", () => {
    for (const one of articles) one.hidden = list.value !== "" && !one.dataset.labels.split("|").includes(list.value);
    output.textContent = `${articles.filter((one) => !one.hidden).length} of ${articles.length}`;
  });
  picker.hidden = false;
}
