import { expect, test } from "vitest";
import { raised } from "./raise";

test("only what was changed is sent, as a number", () => {
  const limits = { usd: 5, tokens: 100, agent_turns: null, minutes: null };
  expect(raised(limits, { usd: "5", tokens: "200.4" })).toEqual({ tokens: 200 });
  expect(raised(limits, { usd: "7.5", tokens: "", minutes: "x" })).toEqual({ usd: 7.5 });
});
