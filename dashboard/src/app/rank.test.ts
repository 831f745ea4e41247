import { expect, test } from "vitest";
import { rank } from "./rank";

test("all words have to occur, and beginnings count more", () => {
  expect(rank("page Budgets", "pub")).toBe(0);
  expect(rank("page Budgets", "budg")).toBe(1);
  expect(rank("page Budgets", "dget")).toBe(0.5);
  expect(rank("definition gh-implement", "impl defi")).toBe(0.75);
  expect(rank("job_1", "cache price", ["cache price", "check"])).toBe(1);
  expect(rank("page Now", "")).toBe(1);
});
