import { expect, test } from "vitest";
import { amounts, limited, tight } from "./budget";

const budget = { limits: { usd: 3, tokens: 100_000, minutes: null }, used: { usd: 4, tokens: 4040, minutes: 1 } };

test("only what is used up is asked for", () => {
  expect(limited(budget).map((each) => each.name)).toEqual(["usd", "tokens"]);
  expect(tight(budget).map((each) => each.name)).toEqual(["usd"]);
  expect(tight({ limits: { usd: 3 }, used: { usd: 1 } }).map((each) => each.name)).toEqual(["usd"]);
});

test("a new limit has to be larger", () => {
  const rows = tight(budget);
  expect(amounts(rows, {})).toEqual({ usd: 6 });
  expect(amounts(rows, { usd: "10.5" })).toEqual({ usd: 10.5 });
  expect(amounts(rows, { usd: "3" })).toBeUndefined();
  expect(amounts(rows, { usd: "2" })).toBeUndefined();
  expect(amounts(rows, { usd: "" })).toBeUndefined();
});
