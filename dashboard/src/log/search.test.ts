import { describe, expect, it } from "vitest";
import { split } from "./line";
import { fromHash, toHash } from "./place";
import { compile, matches, scan } from "./search";

const expression = (text: string, more: { regex?: boolean; matchCase?: boolean } = {}) => {
  const compiled = compile({ text, regex: false, matchCase: false, ...more });
  if (typeof compiled === "string") throw new Error(compiled);
  return compiled;
};

describe("a query", () => {
  it("is a text unless it is said to be an expression", () => {
    expect(matches(expression("a.c"), "abc a.c")).toEqual([4, 7]);
    expect(matches(expression("a.c", { regex: true }), "abc a.c")).toEqual([0, 3, 4, 7]);
    expect(matches(expression("x-(1)/[2]{3}\\d^$|?*+"), "x-(1)/[2]{3}\\d^$|?*+")).toEqual([0, 20]);
  });

  it("minds upper and lower case when it is told to", () => {
    expect(matches(expression("err"), "Err ERR")).toHaveLength(4);
    expect(matches(expression("err", { matchCase: true }), "Err err")).toEqual([4, 7]);
  });

  it("that is no expression says why", () => {
    expect(compile({ text: "(", regex: true, matchCase: false })).toContain("Unterminated group");
  });

  it("that matches nothing anywhere ends", () => {
    expect(matches(expression("x*", { regex: true }), "aaxxa")).toEqual([2, 4]);
  });
});

describe("a piece of a log", () => {
  it("tells its lines that match, and how often", () => {
    expect(scan(expression("o"), "one\ntwo\nsix\nfour o\n", 10)).toEqual({ lines: [10, 11, 13], count: 4 });
    expect(scan(expression("x"), "a\nx", 0)).toEqual({ lines: [1], count: 1 });
  });

  it("is searched as it is seen: without colours, and without what was overwritten", () => {
    expect(scan(expression("fail"), "fa\x1b[31mil\x1b[0m\nfail\rgood\n", 0)).toEqual({ lines: [0], count: 1 });
  });
});

it("marks cut a text where they begin and end, in spans too", () => {
  expect(split("abcdef", 0, [1, 3])).toEqual([
    { text: "a", marked: false },
    { text: "bc", marked: true },
    { text: "def", marked: false },
  ]);
  expect(split("def", 3, [2, 4, 5, 9])).toEqual([
    { text: "d", marked: true },
    { text: "e", marked: false },
    { text: "f", marked: true },
  ]);
  expect(split("abc", 0, undefined)).toEqual([{ text: "abc", marked: false }]);
});

describe("the address of lines", () => {
  it("names attempt and lines, and is read back", () => {
    expect(toHash(3, { first: 119, last: 119 })).toBe("log3-L120");
    expect(fromHash(toHash(3, { first: 119, last: 139 }))).toEqual({ attempt: 3, first: 119, last: 139 });
    expect(fromHash("#log1-L20-L10")).toEqual({ attempt: 1, first: 9, last: 19 });
  });

  it("is nothing when it is another one", () => {
    for (const other of ["", "#main", "log1", "log-L3", "log1-Lx"]) expect(fromHash(other)).toBeUndefined();
  });
});
