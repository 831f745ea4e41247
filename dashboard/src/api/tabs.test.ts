import { afterEach, expect, test, vi } from "vitest";
import { browserTabs } from "./tabs";

afterEach(() => vi.unstubAllGlobals());

type Answer = (name: string, options: LockOptions, work: () => Promise<void>) => Promise<void>;

/** The tabs of a browser that answers requests for its lock like this. */
async function tabsOf(request: Answer) {
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("navigator", { locks: { request } });
  class Channel {
    addEventListener() {}
    postMessage() {}
  }
  vi.stubGlobal("BroadcastChannel", Channel);
  vi.stubGlobal("window", { BroadcastChannel: Channel });
  const tabs = await browserTabs(() => undefined);
  if (tabs === undefined) throw new Error("it can share nothing");
  return tabs;
}

const never = new AbortController().signal;

test("a tab whose lock is stolen is told, and its work does not begin once more without it", async () => {
  let steal = () => {};
  const tabs = await tabsOf(
    (_, __, work) =>
      new Promise((resolve, reject) => {
        steal = () => reject(new DOMException("stolen", "AbortError"));
        void work().then(resolve);
      }),
  );
  const told: string[] = [];
  const work = (robbed: AbortSignal) =>
    new Promise<void>((end) => {
      told.push("begins");
      robbed.addEventListener("abort", () => {
        told.push("ends");
        end();
      });
    });
  const done = tabs.alone(work, never, false);
  await vi.waitFor(() => expect(told).toEqual(["begins"]));
  steal();
  await done;
  expect(told).toEqual(["begins", "ends"]);
});

test("a lock is waited for until that is stopped, and stolen without waiting", async () => {
  const asked: LockOptions[] = [];
  const tabs = await tabsOf(async (_, options, work) => {
    asked.push(options);
    options.signal?.throwIfAborted();
    await work();
  });
  let worked = 0;
  const work = async () => {
    worked++;
  };
  const { signal } = new AbortController();
  await tabs.alone(work, signal, false);
  await tabs.alone(work, signal, true);
  expect(asked).toEqual([{ signal }, { steal: true }]);
  await tabs.alone(work, AbortSignal.abort(), false);
  expect(worked).toBe(2);
});

test("a page that is given no locks does without the other tabs", async () => {
  const tabs = await tabsOf(() => Promise.reject(new DOMException("no locks here", "SecurityError")));
  let worked = 0;
  await tabs.alone(
    async () => {
      worked++;
    },
    never,
    false,
  );
  expect(worked).toBe(1);
});
