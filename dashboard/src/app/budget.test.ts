import { expect, test } from "vitest";
import { limited, raised, tight } from "./budget";

const budget = { limits: { usd: 3, tokens: 100_000, minutes: null }, used: { usd: 4, tokens: 4040, minutes: 1 } };

test("only what is used up is asked for", () => {
  expect(limited(budget).map((each) => each.name)).toEqual(["usd", "tokens"]);
  expect(tight(budget).map((each) => each.name)).toEqual(["usd"]);
  expect(tight({ limits: { usd: 3 }, used: { usd: 1 } }).map((each) => each.name)).toEqual(["usd"]);
});

test("only what was changed is sent, as a number, and none may be less than it was", () => {
  const rows = limited(budget);
  expect(raised(rows, {})).toEqual({});
  expect(raised(rows, { usd: "3", tokens: "" })).toEqual({});
  expect(raised(rows, { usd: "10.5", tokens: "200000.4", minutes: "7" })).toEqual({ usd: 10.5, tokens: 200_000 });
  expect(raised(rows, { usd: "2" })).toBeUndefined();
  expect(raised(rows, { usd: "x", tokens: "200000" })).toBeUndefined();
});
