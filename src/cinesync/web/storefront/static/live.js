// @ts-check
// Follows a show's seats over server-sent events. The browser reconnects and resumes by itself.
//
// When the shop has no stream to spare it answers 429 or 503, after which an EventSource stays
// closed. Then this polls the seat map, and tries a stream again after a while.

const POLL_MS = 4000;
const POLL_MS_MAX = 60000;
const RETRY_STREAM_MS = 60000;

/**
 * @typedef {Record<string, string>} States by seat
 * @typedef {{
 *   changed: (states: States) => void,
 *   snapshot: (states: States) => void,
 *   showChanged: () => void,
 * }} Listener a snapshot has no free seats
 */

/**
 * Spreads the retries of clients that were refused at the same time.
 * @param {number} ms
 */
const jittered = (ms) => ms * (1 + Math.random() / 2);

/**
 * @param {string} url of the stream
 * @param {Listener} listener
 */
export function follow(url, listener) {
  const seatMap = url.replace(/\/live(\?.*)?$/, "/seats");
  /** @type {EventSource} */
  let source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let isOver = false;

  function stream() {
    source = new EventSource(url);
    const seats = (/** @type {MessageEvent} */ event) => JSON.parse(event.data).seats;
    source.addEventListener("seats", (event) => listener.changed(seats(event)));
    source.addEventListener("snapshot", (event) => listener.snapshot(seats(event)));
    source.addEventListener("show", listener.showChanged);
    source.addEventListener("error", () => {
      if (isOver || source.readyState !== EventSource.CLOSED) return;
      pollAfter(POLL_MS, Date.now() + jittered(RETRY_STREAM_MS));
    });
  }

  async function poll() {
    const response = await fetch(seatMap);
    if (!response.ok) throw new Error(response.headers.get("Retry-After") ?? "");
    const { seats } = /** @type {{seats: {seat: string, state: string}[]}} */ (await response.json());
    const taken = seats.filter((seat) => seat.state !== "free");
    listener.snapshot(Object.fromEntries(taken.map((seat) => [seat.seat, seat.state])));
  }

  /**
   * @param {number} wait
   * @param {number} streamAt
   */
  function pollAfter(wait, streamAt) {
    timer = setTimeout(async () => {
      if (Date.now() >= streamAt) return stream();
      let next = POLL_MS;
      try {
        if (!document.hidden) await poll();
      } catch (refusal) {
        const retryAfterMs = 1000 * Number(/** @type {Error} */ (refusal).message);
        next = Math.min(Math.max(2 * wait, retryAfterMs || 0), POLL_MS_MAX);
      }
      if (!isOver) pollAfter(next, streamAt);
    }, jittered(wait));
  }

  stream();
  addEventListener("pagehide", () => {
    isOver = true;
    clearTimeout(timer);
    source.close();
  });
}
