// @ts-check
// The size of the seat map: it fits the page, but its seats never get too small for a finger.

const SCALE_MIN = 24 / 36; // seats are 36 units apart, targets at least 24 px (WCAG 2.5.8)
const SCALE_MAX = 2.5;
const READABLE = 0.9; // fitting the height makes seats no smaller
const FIT_MAX = 1.4; // fitting the width makes seats no larger

/**
 * @param {HTMLElement} map
 * @param {SVGSVGElement} drawing
 */
export function enableZoom(map, drawing) {
  const scroll = /** @type {HTMLElement} */ (map.querySelector("[data-scroll]"));
  const buttons = /** @type {HTMLElement} */ (map.querySelector("[data-zoom]"));
  const { width, height } = drawing.viewBox.baseVal;
  let scale = 1;

  /** @param {number} wanted */
  function zoomTo(wanted) {
    const [x, y] = [scroll.scrollLeft + scroll.clientWidth / 2, scroll.scrollTop + scroll.clientHeight / 2];
    const before = scale;
    scale = Math.min(Math.max(wanted, SCALE_MIN), SCALE_MAX);
    drawing.setAttribute("width", String(width * scale));
    drawing.setAttribute("height", String(height * scale));
    scroll.scrollLeft = (x * scale) / before - scroll.clientWidth / 2;
    scroll.scrollTop = (y * scale) / before - scroll.clientHeight / 2;
  }

  function fit() {
    const [wide, high] = [(scroll.clientWidth - 16) / width, (innerHeight * 0.75) / height];
    zoomTo(Math.min(wide, Math.max(high, READABLE), FIT_MAX));
    scroll.scrollLeft = (scroll.scrollWidth - scroll.clientWidth) / 2;
    scroll.scrollTop = 0;
  }

  buttons.hidden = false;
  buttons.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-by]"));
    const factor = Number(button?.dataset.by ?? 1);
    if (factor) zoomTo(scale * factor); else fit();
  });
  fit();
}
