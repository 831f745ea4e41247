import { expect, test } from "vitest";
import { covers } from "./role";

test("each role may do what those below it may, and that of an ant nothing of theirs", () => {
  const people = ["viewer", "submitter", "operator", "admin"] as const;
  for (const [high, has] of people.entries())
    for (const [low, needed] of people.entries()) expect(covers(has, needed), `${has} ${needed}`).toBe(high >= low);
  for (const each of people) {
    expect(covers("ant", each)).toBe(false);
    expect(covers(each, "ant")).toBe(false);
  }
  expect(covers("ant", "ant")).toBe(true);
});
