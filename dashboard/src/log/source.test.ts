import { afterEach, expect, test, vi } from "vitest";
import type { Source } from "./feed";
import { LogSource } from "./source";

afterEach(() => vi.unstubAllGlobals());

test("a log that nobody sees is not followed, and goes on where it was when somebody does", () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  const look = (hidden: boolean) => {
    page.hidden = hidden;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  const workers: FakeWorker[] = [];
  class FakeWorker extends EventTarget {
    asked: Source | undefined;
    ended = false;
    constructor() {
      super();
      workers.push(this);
    }
    postMessage(source: Source) {
      this.asked = source;
    }
    terminate() {
      this.ended = true;
    }
  }
  vi.stubGlobal("document", page);
  vi.stubGlobal("Worker", FakeWorker);
  vi.stubGlobal("requestAnimationFrame", () => 1);
  vi.stubGlobal("sessionStorage", { getItem: () => null });

  const source = new LogSource("/log");
  const leave = source.watch(() => undefined);
  const bytes = new TextEncoder().encode("hello\n");
  const news = { kind: "bytes", bytes, segments: [{ length: bytes.length, stream: "stdout", at: 0 }] };
  workers[0]?.dispatchEvent(new MessageEvent("message", { data: news }));
  look(true);
  expect(workers.map(({ ended }) => ended)).toEqual([true]);
  look(false);
  expect(workers.map(({ ended, asked }) => [ended, asked?.offset])).toEqual([
    [true, 0],
    [false, bytes.length],
  ]);
  look(false);
  expect(workers.length).toBe(2);
  leave();
  look(true);
  look(false);
  expect(workers.map(({ ended }) => ended)).toEqual([true, true]);
});
