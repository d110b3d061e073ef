// @ts-check
// The clock of a hold.

const WARN_SECONDS = 120;

/** @param {number} seconds */
export function minutesText(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/**
 * Calls `tick` each second with the time left, `warn` once near the end, and `end` once.
 * @param {number} secondsLeft
 * @param {{tick: (text: string) => void, warn: () => void, end: () => void}} listener
 * @param {() => number} now milliseconds of a clock that never goes back
 */
export function startCountdown(secondsLeft, listener, now = () => performance.now()) {
  const endsAt = now() + secondsLeft * 1000;
  let hasWarned = false;

  function tick() {
    const left = Math.max(0, Math.ceil((endsAt - now()) / 1000));
    listener.tick(minutesText(left));
    if (left === 0) {
      clearInterval(timer);
      return listener.end();
    }
    if (left > WARN_SECONDS || hasWarned) return;
    hasWarned = true;
    listener.warn();
  }

  const timer = setInterval(tick, 1000);
  tick();
}
