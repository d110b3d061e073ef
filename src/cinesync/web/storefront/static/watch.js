// Asks how a payment stands until it stands differently, ever more patiently.

const FIRST_MS = 700;
const LONGEST_MS = 5000;

const page = document.querySelector("[data-watch]");
let wait = FIRST_MS;

async function look() {
  wait = Math.min(wait * 1.4, LONGEST_MS);
  try {
    const answer = await fetch(page.dataset.watch, { headers: { Accept: "application/json" } });
    if (answer.redirected) return location.reload();
    const { state } = await answer.json();
    if (state && state !== page.dataset.state) return location.reload();
  } catch {
    // No network for a moment: the next look may have more luck.
  }
  setTimeout(look, wait);
}

setTimeout(look, wait);
