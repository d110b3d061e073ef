// Makes the drawing of the room a way to tick the boxes of the list: by pointer and by keyboard.
// The list stays the truth: what is ticked there is what the form sends.

import { follow } from "./live.js";
import { moneyWriter } from "./money.js";
import { enableZoom } from "./zoom.js";

const STATES = { free: "free", held: "in someone's basket", booked: "sold", chosen: "your choice" };

// Kinds of seats that show a sign while they are free; others show their number.
const SIGNS = { wheelchair: "wheelchair", companion: "companion" };

const map = document.querySelector("[data-seatmap]");
const drawing = map.querySelector("[data-drawing]");
const form = document.querySelector("#seats-form");
const seatsMax = Number(form.dataset.seatsMax);
const choice = form.querySelector("[data-choice]");
const announce = document.querySelector("[data-announce]:not(.hold-strip *)");
const own = new Set(form.dataset.own.split("\n").filter(Boolean)); // held by this visitor: theirs to choose from
const seats = new Map([...drawing.querySelectorAll("[data-seat]")].map((g) => [g.dataset.seat, g]));
const boxes = new Map([...form.querySelectorAll("[name=seat]")].map((box) => [box.value, box]));
const money = moneyWriter(document.documentElement.lang, form.dataset);

const say = (text) => { announce.textContent = text; };
const chosen = () => [...boxes.values()].filter((box) => box.checked);
const shown = (g) => (boxes.get(g.dataset.seat).checked ? "chosen" : g.dataset.state);

function mark(g, state) {
  g.querySelector(".mark, text")?.remove();
  const name = state === "free" ? SIGNS[g.dataset.kind] : state;
  const node = document.createElementNS(g.namespaceURI, name ? "use" : "text");
  if (!name) {
    node.setAttribute("y", "4");
    node.textContent = g.dataset.seat.replace(/^\D+/, "");
  } else {
    node.setAttribute("class", "mark");
    node.setAttribute("href", `#mark-${name}`);
  }
  g.append(node);
}

function paint(g) {
  const state = shown(g);
  g.classList.remove(...Object.keys(STATES).map((name) => `is-${name}`));
  g.classList.add(`is-${state}`);
  g.setAttribute("aria-selected", String(state === "chosen"));
  g.setAttribute("aria-disabled", String(state === "held" || state === "booked"));
  g.querySelector("title").textContent = `${g.dataset.name}, ${STATES[state]}`;
  mark(g, state);
}

// The question of need is put to those who choose a wheelchair place.
const need = form.querySelector("[data-need]");

function askNeed() {
  if (!need) return;
  const wanted = chosen().some((box) => seats.get(box.value)?.dataset.kind === "wheelchair");
  need.hidden = !wanted;
  need.querySelector("input").required = wanted;
}

function sum() {
  askNeed();
  const ticked = chosen();
  const cents = ticked.reduce((total, box) => total + Number(box.dataset.cents), 0);
  choice.textContent = ticked.length
    ? `${ticked.map((box) => box.value).join(", ")}: ${money(cents)}`
    : "Choose your seats on the map.";
}

function toggle(g) {
  const box = boxes.get(g.dataset.seat);
  if (g.dataset.state !== "free") return say(g.querySelector("title").textContent);
  if (!box.checked && chosen().length >= seatsMax) return say(`${seatsMax} seats are the most in one go.`);
  box.checked = !box.checked;
  changed(g);
  say(g.querySelector("title").textContent);
}

function changed(g) {
  paint(g);
  sum();
}

// Someone else took or gave back a seat.
function update(seat, told) {
  const state = own.has(seat) && told === "held" ? "free" : told;
  const g = seats.get(seat);
  const box = boxes.get(seat);
  if (!g || g.dataset.state === state) return;
  g.dataset.state = state;
  const lost = box.checked && state !== "free";
  if (state !== "free") box.checked = false;
  box.disabled = state !== "free";
  box.closest(".seat-box").classList.toggle("is-off", box.disabled);
  box.closest(".seat-box").querySelector("[data-state]").textContent = box.disabled ? ` ${STATES[state]}` : "";
  changed(g);
  if (lost) say(`${seat} was just taken by someone else.`);
}

// keyboard: one tab stop, arrows to the nearest seat that way

const place = (g) => { const { e, f } = g.transform.baseVal.consolidate().matrix; return [e, f]; };
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function neighbour(g, [dx, dy]) {
  const [x, y] = place(g);
  let best = null;
  let least = Infinity;
  for (const other of seats.values()) {
    const [ox, oy] = place(other);
    const ahead = (ox - x) * dx + (oy - y) * dy;
    const aside = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
    const cost = ahead + aside * 3;
    if (ahead > 4 && aside < ahead * 2 && cost < least) [best, least] = [other, cost];
  }
  return best;
}

function rowEnd(g, last) {
  const row = [...g.parentNode.querySelectorAll("[data-seat]")];
  return last ? row.at(-1) : row[0];
}

function target(g, key) {
  if (key in DIRECTIONS) return neighbour(g, DIRECTIONS[key]);
  return key === "Home" || key === "End" ? rowEnd(g, key === "End") : null;
}

function moveFocus(g) {
  drawing.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  g.setAttribute("tabindex", "0");
  g.focus({ preventScroll: true });
  g.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function onKey(event) {
  const g = event.target.closest("[data-seat]");
  if (!g || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " || event.key === "Enter") {
    event.preventDefault();
    return toggle(g);
  }
  const next = target(g, event.key);
  if (!next) return;
  event.preventDefault();
  moveFocus(next);
}

function becomeGrid() {
  drawing.setAttribute("role", "grid");
  drawing.setAttribute("aria-multiselectable", "true");
  for (const row of drawing.querySelectorAll("[data-row]")) row.setAttribute("role", "row");
  for (const g of seats.values()) {
    g.setAttribute("role", "gridcell");
    g.setAttribute("tabindex", "-1");
    paint(g);
  }
  const first = [...seats.values()].find((g) => g.dataset.state === "free") ?? seats.values().next().value;
  first?.setAttribute("tabindex", "0");
}

becomeGrid();
sum();
enableZoom(map, drawing);
document.querySelector("[data-seat-list]").open = false;
drawing.addEventListener("keydown", onKey);
drawing.addEventListener("click", (event) => {
  const g = event.target.closest("[data-seat]");
  if (g) { moveFocus(g); toggle(g); }
});
form.addEventListener("change", (event) => {
  const g = event.target.name === "seat" && seats.get(event.target.value);
  if (g) changed(g);
});
follow(map.dataset.live, {
  changed: (states) => Object.entries(states).forEach(([seat, state]) => update(seat, state)),
  snapshot: (states) => { for (const seat of seats.keys()) update(seat, states[seat] ?? "free"); },
  showChanged: () => say("Times or prices of this show changed. Please load the page anew."),
});
// Coming back through the back-forward cache, the map may be minutes old.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
