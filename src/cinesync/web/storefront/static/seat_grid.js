// @ts-check
// Rules of the seat map without its drawing: keyboard moves, and the state that a visitor sees.

/**
 * @typedef {[x: number, y: number]} Point
 * @typedef {"ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"} Arrow
 */

/** @type {Record<Arrow, Point>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP_MIN = 4; // SVG units: nearer seats are at the same place in that direction
const ASIDE_COST = 3;

/**
 * @param {string} key
 * @returns {key is Arrow}
 */
export const isArrow = (key) => Object.hasOwn(DIRECTIONS, key);

/**
 * The nearest seat in an arrow's direction, or null. Rows may be curved.
 * @template T
 * @param {Point} from
 * @param {Arrow} arrow
 * @param {Iterable<[T, Point]>} seats
 * @returns {T | null}
 */
export function nearest([x, y], arrow, seats) {
  const [dx, dy] = DIRECTIONS[arrow];
  let best = null;
  let least = Infinity;
  for (const [seat, [seatX, seatY]] of seats) {
    const ahead = (seatX - x) * dx + (seatY - y) * dy;
    const aside = Math.abs((seatX - x) * dy) + Math.abs((seatY - y) * dx);
    const cost = ahead + aside * ASIDE_COST;
    if (ahead > STEP_MIN && aside < ahead * 2 && cost < least) [best, least] = [seat, cost];
  }
  return best;
}

/**
 * A seat that the visitor holds is free for the visitor.
 * @param {string} seat
 * @param {string} state
 * @param {Set<string>} own
 */
export const stateForVisitor = (seat, state, own) => (state === "held" && own.has(seat) ? "free" : state);

/**
 * The line below the map.
 * @param {string[]} seats
 * @param {string} total
 */
export const choiceText = (seats, total) =>
  (seats.length ? `${seats.join(", ")}: ${total}` : "Choose your seats on the map.");
