// Follows a show's seats over server-sent events; the browser reconnects and resumes by itself.
// When the shop has no stream to spare, it answers 429 or 503, after which an EventSource stays
// closed: then this asks for the seat map now and then, and for a stream again after a while.

const POLL_MS = 4000;
const LONGEST_MS = 60000;
const STREAM_AGAIN_MS = 60000;

// All who were refused at once come back at different times.
const spread = (ms) => ms * (1 + Math.random() / 2);

export function follow(url, told) {
  const seatMap = url.replace(/\/live(\?.*)?$/, "/seats");
  let source;
  let timer;
  let over = false;

  function stream() {
    source = new EventSource(url);
    const seats = (event) => JSON.parse(event.data).seats;
    source.addEventListener("seats", (event) => told.changed(seats(event)));
    source.addEventListener("snapshot", (event) => told.snapshot(seats(event)));
    source.addEventListener("show", told.showChanged);
    source.addEventListener("error", () => {
      if (!over && source.readyState === EventSource.CLOSED) poll(POLL_MS, Date.now() + spread(STREAM_AGAIN_MS));
    });
  }

  async function look() {
    const answer = await fetch(seatMap);
    if (!answer.ok) throw new Error(answer.headers.get("Retry-After") ?? "");
    const { seats } = await answer.json();
    const taken = seats.filter((seat) => seat.state !== "free");
    told.snapshot(Object.fromEntries(taken.map((seat) => [seat.seat, seat.state])));
  }

  function poll(wait, streamAt) {
    timer = setTimeout(async () => {
      if (Date.now() >= streamAt) return stream();
      let next = POLL_MS;
      try {
        if (!document.hidden) await look();
      } catch (refusal) {
        const asked = 1000 * Number(refusal.message);
        next = Math.min(Math.max(2 * wait, asked || 0), LONGEST_MS);
      }
      if (!over) poll(next, streamAt);
    }, spread(wait));
  }

  stream();
  addEventListener("pagehide", () => {
    over = true;
    clearTimeout(timer);
    source.close();
  });
}
