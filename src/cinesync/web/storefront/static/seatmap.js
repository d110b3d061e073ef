// @ts-check
// Lets a visitor choose seats on the drawing, by pointer and keyboard.
//
// The check boxes of the list hold the choice, and the form sends them. The drawing shows them.

import { follow } from "./live.js";
import { moneyFormatter } from "./money.js";
import { choiceText, isArrow, nearest, stateForVisitor } from "./seat_grid.js";
import { enableZoom } from "./zoom.js";

/** @type {Record<string, string>} */
const STATES = { free: "free", held: "held by someone else", booked: "sold", chosen: "your choice" };

// Kinds of seats that have a mark while they are free; others show their number.
const MARKED_KINDS = new Set(["wheelchair", "companion"]);

/**
 * An element that the template always has.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} root
 */
function find(selector, root = document) {
  return /** @type {T} */ (root.querySelector(selector));
}

const map = find("[data-seatmap]");
/** @type {SVGSVGElement} */
const drawing = find("[data-drawing]", map);
/** @type {HTMLFormElement} */
const form = find("#seats-form");
const seatsMax = Number(form.dataset.seatsMax);
const choice = find("[data-choice]", form);
const announcer = find("[data-announce]:not(.hold-strip *)");
const own = new Set((form.dataset.own ?? "").split("\n").filter(Boolean)); // held by this visitor
const seats = new Map([.../** @type {NodeListOf<SVGGElement>} */ (drawing.querySelectorAll("[data-seat]"))]
  .map((seat) => [nameOf(seat), seat]));
const boxes = new Map([.../** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[name=seat]"))]
  .map((box) => [box.value, box]));
const money = moneyFormatter(document.documentElement.lang, form.dataset);

/** @param {string} text */
const announce = (text) => { announcer.textContent = text; };
const chosenBoxes = () => [...boxes.values()].filter((box) => box.checked);

/** @param {SVGGElement} seat */
function nameOf(seat) {
  return seat.dataset.seat ?? "";
}

/** @param {SVGGElement} seat */
const boxOf = (seat) => /** @type {HTMLInputElement} */ (boxes.get(nameOf(seat)));

/** @param {SVGGElement} seat */
const titleOf = (seat) => find("title", seat).textContent ?? "";

// painting

/**
 * @param {SVGGElement} seat
 * @param {string} state
 */
function mark(seat, state) {
  seat.querySelector(".mark, text")?.remove();
  const kind = seat.dataset.kind ?? "";
  const name = state === "free" ? MARKED_KINDS.has(kind) && kind : state;
  const node = document.createElementNS("http://www.w3.org/2000/svg", name ? "use" : "text");
  if (!name) {
    node.setAttribute("y", "4");
    node.textContent = nameOf(seat).replace(/^\D+/, "");
  } else {
    node.setAttribute("class", "mark");
    node.setAttribute("href", `#mark-${name}`);
  }
  seat.append(node);
}

/** @param {SVGGElement} seat */
function paint(seat) {
  const state = boxOf(seat).checked ? "chosen" : seat.dataset.state ?? "";
  seat.classList.remove(...Object.keys(STATES).map((name) => `is-${name}`));
  seat.classList.add(`is-${state}`);
  seat.setAttribute("aria-selected", String(state === "chosen"));
  seat.setAttribute("aria-disabled", String(state === "held" || state === "booked"));
  find("title", seat).textContent = `${seat.dataset.name}, ${STATES[state]}`;
  mark(seat, state);
}

// Visitors who choose a wheelchair place confirm that they need it.
/** @type {HTMLElement | null} */
const need = form.querySelector("[data-need]");

function askNeed() {
  if (!need) return;
  const isNeeded = chosenBoxes().some((box) => seats.get(box.value)?.dataset.kind === "wheelchair");
  need.hidden = !isNeeded;
  /** @type {HTMLInputElement} */
  const box = find("input", need);
  box.required = isNeeded;
}

function showChoice() {
  askNeed();
  const chosen = chosenBoxes();
  const cents = chosen.reduce((total, box) => total + Number(box.dataset.cents), 0);
  choice.textContent = choiceText(chosen.map((box) => box.value), money(cents));
}

/** @param {SVGGElement} seat */
function refresh(seat) {
  paint(seat);
  showChoice();
}

// choosing

/** @param {SVGGElement} seat */
function toggle(seat) {
  const box = boxOf(seat);
  if (seat.dataset.state !== "free") return announce(titleOf(seat));
  if (!box.checked && chosenBoxes().length >= seatsMax) {
    return announce(`You can choose at most ${seatsMax} seats at once.`);
  }
  box.checked = !box.checked;
  refresh(seat);
  announce(titleOf(seat));
}

/**
 * Somebody took or released a seat.
 * @param {string} name
 * @param {string} newState
 */
function update(name, newState) {
  const state = stateForVisitor(name, newState, own);
  const seat = seats.get(name);
  if (!seat || seat.dataset.state === state) return;
  const box = boxOf(seat);
  seat.dataset.state = state;
  const isLost = box.checked && state !== "free";
  if (state !== "free") box.checked = false;
  box.disabled = state !== "free";
  const row = /** @type {HTMLElement} */ (box.closest(".seat-box"));
  row.classList.toggle("is-off", box.disabled);
  find("[data-state]", row).textContent = box.disabled ? ` ${STATES[state]}` : "";
  refresh(seat);
  if (isLost) announce(`${name} was just taken by someone else.`);
}

// keyboard: one tab stop, and arrows move to the nearest seat

/**
 * @param {SVGGElement} seat
 * @returns {import("./seat_grid.js").Point}
 */
function positionOf(seat) {
  const matrix = seat.transform.baseVal.consolidate()?.matrix;
  return [matrix?.e ?? 0, matrix?.f ?? 0];
}

/**
 * @param {SVGGElement} seat
 * @param {string} key
 */
function target(seat, key) {
  if (isArrow(key)) {
    return nearest(positionOf(seat), key, [...seats.values()].map((other) => [other, positionOf(other)]));
  }
  if (key !== "Home" && key !== "End") return null;
  const row = [...seats.values()].filter((other) => other.parentNode === seat.parentNode);
  return (key === "End" ? row.at(-1) : row[0]) ?? null;
}

/** @param {SVGGElement} seat */
function moveFocus(seat) {
  drawing.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  seat.setAttribute("tabindex", "0");
  seat.focus({ preventScroll: true });
  seat.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/**
 * @param {Event} event
 * @returns {SVGGElement | null}
 */
const seatOf = (event) => /** @type {Element} */ (event.target).closest("[data-seat]");

/** @param {KeyboardEvent} event */
function onKey(event) {
  const seat = seatOf(event);
  if (!seat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " || event.key === "Enter") {
    event.preventDefault();
    return toggle(seat);
  }
  const next = target(seat, event.key);
  if (!next) return;
  event.preventDefault();
  moveFocus(next);
}

function becomeGrid() {
  drawing.setAttribute("role", "grid");
  drawing.setAttribute("aria-multiselectable", "true");
  for (const row of drawing.querySelectorAll("[data-row]")) row.setAttribute("role", "row");
  for (const seat of seats.values()) {
    seat.setAttribute("role", "gridcell");
    seat.setAttribute("tabindex", "-1");
    paint(seat);
  }
  const all = [...seats.values()];
  const first = all.find((seat) => seat.dataset.state === "free") ?? all[0];
  first?.setAttribute("tabindex", "0");
}

becomeGrid();
showChoice();
enableZoom(map, drawing);
/** @type {HTMLDetailsElement} */
const list = find("[data-seat-list]");
list.open = false;
drawing.addEventListener("keydown", onKey);
drawing.addEventListener("click", (event) => {
  const seat = seatOf(event);
  if (!seat) return;
  moveFocus(seat);
  toggle(seat);
});
form.addEventListener("change", (event) => {
  const box = /** @type {HTMLInputElement} */ (event.target);
  const seat = box.name === "seat" && seats.get(box.value);
  if (seat) refresh(seat);
});
follow(map.dataset.live ?? "", {
  changed: (states) => Object.entries(states).forEach(([name, state]) => update(name, state)),
  snapshot: (states) => { for (const name of seats.keys()) update(name, states[name] ?? "free"); },
  showChanged: () => announce("The time or the prices of this show changed. Please reload the page."),
});
// A page from the back-forward cache may be minutes old.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
