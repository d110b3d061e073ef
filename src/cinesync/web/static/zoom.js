// The map's size: fit to the page, but never with seats too small for a finger.

const LEAST = 24 / 36; // seats are 36 units apart; targets at least 24 px apart (WCAG 2.5.8)
const MOST = 2.5;

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
    set(Math.min((scroll.clientWidth - 16) / width, 1.4));
    scroll.scrollLeft = (scroll.scrollWidth - scroll.clientWidth) / 2;
  }

  buttons.hidden = false;
  buttons.addEventListener("click", (event) => {
    const by = Number(event.target.closest("[data-by]")?.dataset.by ?? 1);
    if (by) set(scale * by); else fit();
  });
  fit();
}
