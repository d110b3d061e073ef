// @ts-check
// Counts down the time of a hold, warns near its end, and says when it has expired.

import { startCountdown } from "./clock.js";

const strip = /** @type {HTMLElement} */ (document.querySelector("[data-countdown]"));
const clock = /** @type {HTMLElement} */ (strip.querySelector("[data-clock]"));
const announcer = /** @type {HTMLElement} */ (strip.querySelector("[data-announce]"));
let isLeaving = false;

startCountdown(Number(strip.dataset.secondsLeft), {
  tick: (text) => { clock.textContent = text; },
  warn: () => {
    strip.classList.add("is-short");
    announcer.textContent = "Your seats are held for less than two more minutes. Use More time to hold them longer.";
  },
  end: () => {
    if ("reload" in strip.dataset && !isLeaving) return location.reload();
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (strip.querySelectorAll("[data-running]"))) {
      part.hidden = true;
    }
    /** @type {HTMLElement} */ (strip.querySelector("[data-over]")).hidden = false;
    announcer.textContent = "Your hold has expired.";
  },
});
document.addEventListener("submit", () => { isLeaving = true; });
// A page from the back-forward cache shows an old time.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
