import { expect, test } from "vitest";
import { whileSeen } from "./seen";

class Page extends EventTarget {
  hidden = false;
  become(hidden: boolean) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

function asked(needed = () => false) {
  const page = new Page();
  const signals: (AbortSignal | null | undefined)[] = [];
  const ask = whileSeen(
    async (_, init) => {
      signals.push(init?.signal);
      init?.signal?.throwIfAborted();
      return new Response("");
    },
    needed,
    page as unknown as Document,
  );
  return { page, signals, ask };
}

test("an answer breaks off when the page is hidden, and the next request waits until it is seen", async () => {
  const { page, signals, ask } = asked();
  await ask("/log");
  expect(signals[0]?.aborted).toBe(false);
  page.become(true);
  expect(signals[0]?.aborted).toBe(true);
  const next = ask("/log");
  await Promise.resolve();
  expect(signals.length).toBe(1);
  page.become(false);
  await next;
  expect(signals[1]?.aborted).toBe(false);
});

test("what is needed goes on, and who stops waits for nothing", async () => {
  const typing = asked(() => true);
  await typing.ask("/log");
  typing.page.become(true);
  expect(typing.signals[0]?.aborted).toBe(false);

  const { page, ask } = asked();
  page.become(true);
  const stop = new AbortController();
  const waiting = ask("/log", { signal: stop.signal });
  stop.abort();
  await expect(waiting).rejects.toThrow();
});
