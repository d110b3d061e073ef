// Counts the hold down, warns in time, and says when it is over. Never extends by itself.

const WARN_SECONDS = 120;

const strip = document.querySelector("[data-countdown]");
const clock = strip.querySelector("[data-clock]");
const announce = strip.querySelector("[data-announce]");
const endsAt = performance.now() + Number(strip.dataset.secondsLeft) * 1000;
let warned = false;
let leaving = false;

function minutes(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function warn() {
  warned = true;
  strip.classList.add("is-short");
  announce.textContent = "Less than two minutes left for your seats. Use More time to keep them longer.";
}

function end() {
  clearInterval(timer);
  if ("reload" in strip.dataset && !leaving) return location.reload();
  for (const part of strip.querySelectorAll("[data-running]")) part.hidden = true;
  strip.querySelector("[data-over]").hidden = false;
  announce.textContent = "The time for your seats is over.";
}

function tick() {
  const left = Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
  clock.textContent = minutes(left);
  if (left === 0) return end();
  if (left <= WARN_SECONDS && !warned) warn();
}

const timer = setInterval(tick, 1000);
tick();
document.addEventListener("submit", () => { leaving = true; });
// A page from the back-forward cache shows yesterday's clock.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
