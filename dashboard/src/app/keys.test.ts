import { expect, test } from "vitest";
import type { Press } from "./keys";

// A browser keeps there whether some keys are turned off; there is no such storage outside of one.
Object.assign(globalThis, { localStorage: { getItem: () => null } });
const { caps, isOfCharacters, matches, Presses } = await import("./keys");

const press = (key: string, more: Partial<Press> = {}): Press => ({
  key,
  metaKey: false,
  ctrlKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});

test("a key is its character, whatever shift did to make it", () => {
  expect(matches("?", press("?", { shiftKey: true }))).toBe(true);
  expect(matches("j", press("j"))).toBe(true);
  expect(matches("j", press("J", { shiftKey: true }))).toBe(false);
  expect(matches("j", press("j", { ctrlKey: true }))).toBe(false);
});

test("mod is command or control", () => {
  expect(matches("mod+k", press("k", { metaKey: true }))).toBe(true);
  expect(matches("mod+k", press("K", { ctrlKey: true }))).toBe(true);
  expect(matches("mod+k", press("k"))).toBe(false);
  expect(matches("mod++", press("+", { ctrlKey: true }))).toBe(true);
});

test("keys with names look at shift", () => {
  expect(matches("shift+Enter", press("Enter", { shiftKey: true }))).toBe(true);
  expect(matches("Enter", press("Enter", { shiftKey: true }))).toBe(false);
});

test("a sequence is pressed within a second per step, and wins over a single key", () => {
  const keys = [{ keys: "j" }, { keys: "g j" }];
  const presses = new Presses();
  expect(presses.take(press("g"), 0, keys)).toBeUndefined();
  expect(presses.take(press("j"), 500, keys)).toEqual({ keys: "g j" });
  expect(presses.take(press("j"), 600, keys)).toEqual({ keys: "j" });
  expect(presses.take(press("g"), 1000, keys)).toBeUndefined();
  expect(presses.take(press("j"), 2500, keys)).toEqual({ keys: "j" });
});

test("shift pressed on the way to a character does not end a sequence", () => {
  const keys = [{ keys: "g ?" }];
  const presses = new Presses();
  presses.take(press("g"), 0, keys);
  presses.take(press("Shift", { shiftKey: true }), 100, keys);
  expect(presses.take(press("?", { shiftKey: true }), 200, keys)).toEqual({ keys: "g ?" });
});

test("what is a character alone is known from what has a name or is pressed with another key", () => {
  for (const keys of ["j", "X", "?", "/", "g j", "+"]) expect(isOfCharacters(keys), keys).toBe(true);
  for (const keys of ["Enter", "Escape", "mod+k", "shift+Enter", "mod++", "alt+j", "ArrowUp"])
    expect(isOfCharacters(keys), keys).toBe(false);
});

test("keys are written as people know them", () => {
  expect(caps("mod+k", true)).toEqual([["⌘", "K"]]);
  expect(caps("mod+k", false)).toEqual([["Ctrl", "K"]]);
  expect(caps("g j", false)).toEqual([["g"], ["j"]]);
  expect(caps("Enter", false)).toEqual([["↵"]]);
});
