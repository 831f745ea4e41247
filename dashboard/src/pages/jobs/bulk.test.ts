import { expect, test } from "vitest";
import { summary, withEach } from "./bulk";

test("one failure does not hold up the others", async () => {
  let most = 0;
  let now = 0;
  const result = await withEach(
    ["a", "b", "c", "d", "e"],
    async (id) => {
      now++;
      most = Math.max(most, now);
      await Promise.resolve();
      now--;
      if (id === "b") throw new Error("it has ended");
    },
    2,
  );
  expect(most).toBe(2);
  expect(result.done.toSorted()).toEqual(["a", "c", "d", "e"]);
  expect(result.failed).toEqual([{ id: "b", why: "it has ended" }]);
});

test("a summary says what succeeded and what failed, and why", () => {
  expect(summary({ done: ["a"], failed: [] }, "being cancelled")).toEqual({
    text: "1 job: being cancelled.",
    detail: undefined,
  });
  const failed = [
    { id: "b", why: "it has ended" },
    { id: "c", why: "it has ended" },
    { id: "d", why: "gone" },
  ];
  expect(summary({ done: ["a"], failed }, "being cancelled")).toEqual({
    text: "1 of 4 jobs: being cancelled; 3 could not be changed",
    detail: "2 jobs: it has ended\nd: gone",
  });
  expect(summary({ done: [], failed: failed.slice(2) }, "x").text).toBe("None of 1 job could be changed");
});
