import { afterEach, expect, test, vi } from "vitest";

afterEach(() => vi.unstubAllGlobals());

test("a browser that lets pages show nothing is asked once, and the page goes on", async () => {
  const kept = new Map([["atta.notices", "all"]]);
  let asked = 0;
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => kept.set(name, value),
  });
  vi.stubGlobal("window", { isSecureContext: true });
  vi.stubGlobal(
    "Notification",
    class {
      static permission = "granted";
      constructor() {
        asked++;
        throw new TypeError("Failed to construct 'Notification': Illegal constructor.");
      }
    },
  );
  const { notify } = await import("./notices");
  const note = { title: "build completed", body: "", to: "/jobs/1" };
  notify(note, () => undefined);
  notify(note, () => undefined);
  expect(asked).toBe(1);
});
