// Keeps the ledger's overview up to date: asks for the changing part, and says what arrived.

const EVERY_MS = 2000;
const LONGEST_MS = 30000;
const SAY_AT_MOST_EVERY_MS = 10000;

const region = document.querySelector("[data-latest]");
const bar = document.querySelector("[data-live-bar]");
const button = bar.querySelector("[data-pause]");
const announce = bar.querySelector("[data-announce]");
let wait = EVERY_MS;
let paused = false;
let saidAt = -Infinity;
let timer;

const top = () => Number(region.querySelector("[data-top]")?.dataset.top ?? 0);

function show(html) {
  const before = top();
  const link = region.contains(document.activeElement) && document.activeElement.getAttribute("href");
  region.innerHTML = html;
  if (link) region.querySelector(`[href="${CSS.escape(link)}"]`)?.focus();
  if (before && top() > before) arrived(before);
}

function arrived(before) {
  for (const block of region.querySelectorAll("[data-height]")) {
    if (Number(block.dataset.height) <= before) continue;
    block.classList.add("is-new");
    block.querySelector("h3").insertAdjacentHTML("beforeend", ' <span class="badge-new">new</span>');
  }
  if (performance.now() - saidAt < SAY_AT_MOST_EVERY_MS) return;
  saidAt = performance.now();
  announce.textContent = `Block ${top()} arrived.`;
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(region.dataset.latest);
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      if (!paused) show(html);
      wait = EVERY_MS;
    } catch {
      wait = Math.min(2 * wait, LONGEST_MS);
      announce.textContent = "No connection: what you see may be old.";
    }
  }
  if (!paused) timer = setTimeout(look, wait);
}

button.addEventListener("click", () => {
  paused = !paused;
  button.textContent = paused ? "Go on updating" : "Stop updating";
  announce.textContent = paused ? "This page stands still." : "This page updates itself.";
  clearTimeout(timer);
  if (!paused) look();
});
bar.hidden = false;
timer = setTimeout(look, wait);
