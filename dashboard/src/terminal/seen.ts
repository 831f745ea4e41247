/** What it needs of a document. */
type Page = Pick<Document, "hidden" | "addEventListener" | "removeEventListener">;

/**
 * A browser has few connections to a server for all of its tabs: what nobody sees, and nobody needs, has none. An answer breaks
 * off when the page is hidden, and the next request waits until somebody sees it.
 */
export function whileSeen(ask: typeof fetch, needed: () => boolean, page: Page = document): typeof fetch {
  return async (input, init) => {
    const stop = new AbortController();
    const given = init?.signal;
    given?.addEventListener("abort", () => stop.abort());
    if (page.hidden && !needed()) await shown(page, stop.signal);
    const look = () => page.hidden && !needed() && stop.abort();
    page.addEventListener("visibilitychange", look);
    stop.signal.addEventListener("abort", () => page.removeEventListener("visibilitychange", look));
    return await ask(input, { ...init, signal: stop.signal });
  };
}

function shown(page: Page, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (page.hidden && !stop.aborted) return;
      page.removeEventListener("visibilitychange", look);
      resolve();
    };
    page.addEventListener("visibilitychange", look);
    stop.addEventListener("abort", look);
    look();
  });
}
