// @ts-check
// Polls the state of a payment, ever less often, and reloads the page when it changes.

const FIRST_MS = 700;
const LONGEST_MS = 5000;

const page = /** @type {HTMLElement} */ (document.querySelector("[data-watch]"));
let wait = FIRST_MS;

async function poll() {
  wait = Math.min(wait * 1.4, LONGEST_MS);
  try {
    const response = await fetch(page.dataset.watch ?? "", { headers: { Accept: "application/json" } });
    if (response.redirected) return location.reload();
    const { state } = await response.json();
    if (state && state !== page.dataset.state) return location.reload();
  } catch {
    // No connection: the next request may succeed.
  }
  setTimeout(poll, wait);
}

setTimeout(poll, wait);
