import { expect, test } from "vitest";
import { coming } from "./coming";

test("the runs of all schedules come in their order, each once", () => {
  const runs = coming(
    [
      { type: "b", first: "2026-01-02T00:00:00.000Z", next: ["2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"] },
      { type: "a", first: null, next: ["2026-01-03T00:00:00Z"] },
    ],
    3,
  );
  expect(runs.map(({ type, at }) => `${type} ${at.slice(0, 10)}`)).toEqual([
    "b 2026-01-02",
    "a 2026-01-03",
    "b 2026-01-04",
  ]);
});
