// The map's size: fit to the page, but never with seats too small for a finger.

const LEAST = 24 / 36; // seats are 36 units apart; targets at least 24 px apart (WCAG 2.5.8)
const MOST = 2.5;
// Fitting fills the page, but neither makes seats tiny to save scrolling nor blows up a small room.
const READABLE = 0.9;
const LARGEST = 1.4;

export function enableZoom(map, drawing) {
  const scroll = map.querySelector("[data-scroll]");
  const buttons = map.querySelector("[data-zoom]");
  const { width, height } = drawing.viewBox.baseVal;
  let scale = 1;

  function set(wanted) {
    const [x, y] = [scroll.scrollLeft + scroll.clientWidth / 2, scroll.scrollTop + scroll.clientHeight / 2];
    const before = scale;
    scale = Math.min(Math.max(wanted, LEAST), MOST);
    drawing.setAttribute("width", width * scale);
    drawing.setAttribute("height", height * scale);
    scroll.scrollLeft = (x * scale) / before - scroll.clientWidth / 2;
    scroll.scrollTop = (y * scale) / before - scroll.clientHeight / 2;
  }

  function fit() {
    const [wide, high] = [(scroll.clientWidth - 16) / width, (innerHeight * 0.75) / height];
    set(Math.min(wide, Math.max(high, READABLE), LARGEST));
    scroll.scrollLeft = (scroll.scrollWidth - scroll.clientWidth) / 2;
    scroll.scrollTop = 0;
  }

  buttons.hidden = false;
  buttons.addEventListener("click", (event) => {
    const by = Number(event.target.closest("[data-by]")?.dataset.by ?? 1);
    if (by) set(scale * by); else fit();
  });
  fit();
}
