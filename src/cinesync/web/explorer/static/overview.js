// @ts-check
// Keeps the explorer's overview up to date: fetches the part that changes, and announces new blocks.

const INTERVAL_MS = 2000;
const INTERVAL_MS_MAX = 30000;
const ANNOUNCE_MS_MIN = 10000;

const region = /** @type {HTMLElement} */ (document.querySelector("[data-latest]"));
const bar = /** @type {HTMLElement} */ (document.querySelector("[data-live-bar]"));
const button = /** @type {HTMLElement} */ (bar.querySelector("[data-pause]"));
const announcer = /** @type {HTMLElement} */ (bar.querySelector("[data-announce]"));
let wait = INTERVAL_MS;
let isPaused = false;
let announcedAt = -Infinity;
/** @type {ReturnType<typeof setTimeout>} */
let timer;

const top = () => Number(/** @type {HTMLElement | null} */ (region.querySelector("[data-top]"))?.dataset.top ?? 0);

/** @param {string} html */
function show(html) {
  const before = top();
  const focused = document.activeElement;
  const link = region.contains(focused) && focused?.getAttribute("href");
  region.innerHTML = html;
  if (link) /** @type {HTMLElement | null} */ (region.querySelector(`[href="${CSS.escape(link)}"]`))?.focus();
  if (before && top() > before) markNew(before);
}

/** @param {number} before */
function markNew(before) {
  for (const block of /** @type {NodeListOf<HTMLElement>} */ (region.querySelectorAll("[data-height]"))) {
    if (Number(block.dataset.height) <= before) continue;
    block.classList.add("is-new");
    block.querySelector("h3")?.insertAdjacentHTML("beforeend", ' <span class="badge-new">new</span>');
  }
  if (performance.now() - announcedAt < ANNOUNCE_MS_MIN) return;
  announcedAt = performance.now();
  announcer.textContent = `Block ${top()} arrived.`;
}

async function poll() {
  if (!document.hidden) {
    try {
      const response = await fetch(region.dataset.latest ?? "");
      if (!response.ok) throw new Error(String(response.status));
      const html = await response.text();
      if (!isPaused) show(html);
      wait = INTERVAL_MS;
    } catch {
      wait = Math.min(2 * wait, INTERVAL_MS_MAX);
      announcer.textContent = "No connection. This page may be out of date.";
    }
  }
  if (!isPaused) timer = setTimeout(poll, wait);
}

button.addEventListener("click", () => {
  isPaused = !isPaused;
  button.textContent = isPaused ? "Resume updates" : "Pause updates";
  announcer.textContent = isPaused ? "Updates are paused." : "This page updates itself.";
  clearTimeout(timer);
  if (!isPaused) poll();
});
bar.hidden = false;
timer = setTimeout(poll, wait);
