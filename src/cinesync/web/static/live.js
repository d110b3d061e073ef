// Follows a show's seats over server-sent events; the browser reconnects and resumes by itself.

function apply(event, update) {
  const told = JSON.parse(event.data);
  for (const { seat, state } of told.seats ?? told.changes ?? []) update(seat, state);
}

export function follow(url, update) {
  const source = new EventSource(url);
  for (const name of ["message", "snapshot", "seats", "changes"]) {
    source.addEventListener(name, (event) => apply(event, update));
  }
  addEventListener("pagehide", () => source.close());
}
