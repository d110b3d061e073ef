// Follows a show's seats over server-sent events; the browser reconnects and resumes by itself.

export function follow(url, { changed, snapshot, showChanged }) {
  const source = new EventSource(url);
  const told = (event) => JSON.parse(event.data).seats;
  source.addEventListener("seats", (event) => changed(told(event)));
  source.addEventListener("snapshot", (event) => snapshot(told(event)));
  source.addEventListener("show", showChanged);
  addEventListener("pagehide", () => source.close());
}
