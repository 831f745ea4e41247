import { expect, test } from "vitest";
import { changed, instantOf, local, queryOf, readSearch, readViews, same, statesOf, views } from "./search";

test("an address is read as far as it is understood", () => {
  expect(readSearch({ state: "running,NONSENSE,FAILED", text: 42, since: "99y", after: "not a day", more: 1 })).toEqual(
    {
      state: "RUNNING,FAILED",
      text: "42",
    },
  );
  expect(readSearch({ state: ["BLOCKED"], key: "", parent: { a: 1 } })).toEqual({ state: "BLOCKED" });
  expect(readSearch({ since: "7d", after: "2026-01-01" })).toEqual({ since: "7d" });
  expect(readSearch({ since: "constructor" })).toEqual({});
});

test("what is emptied leaves the address", () => {
  expect(changed({ type: "check", text: "x" }, { text: undefined })).toEqual({ type: "check" });
  expect(changed({ state: "FAILED" }, { state: "" })).toEqual({});
});

test("the server is asked for what the address says", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  expect(queryOf({ state: "FAILED,RUNNING", type: "a", key: "k", since: "24h" }, now)).toEqual({
    state: ["RUNNING", "FAILED"],
    job_type: "a",
    user_key: "k",
    created_after: "2026-01-01T00:00:00.000Z",
  });
  expect(queryOf({}, now)).toEqual({});
});

test("labels are one or several, each once, and none without a name", () => {
  expect(readSearch({ label: "team:core" })).toEqual({ label: "team:core" });
  expect(readSearch({ label: ["team:core", " nightly ", "team:core", ":x", { a: 1 }] })).toEqual({
    label: ["team:core", "nightly"],
  });
  expect(changed({ label: ["a", "b"] }, { label: ["b"] })).toEqual({ label: "b" });
  expect(queryOf({ label: "a:1" }, 0)).toEqual({ label: ["a:1"] });
  expect(same({ label: ["a", "b"] }, { label: ["a", "b"] })).toBe(true);
  expect(same({ label: ["a", "b"] }, { label: "a" })).toBe(false);
});

test("views are compared by what they show, and read without trust", () => {
  expect(same({ state: "FAILED" }, { state: "FAILED" })).toBe(true);
  expect(same({ state: "FAILED" }, { state: "FAILED", since: "7d" })).toBe(false);
  expect(readViews("not json")).toEqual([]);
  expect(readViews('[{"name":"a","search":{"state":"X","text":"t"}},{"name":1},null]')).toEqual([
    { name: "a", search: { text: "t" } },
  ]);
  for (const view of views) expect(readSearch({ ...view.search })).toEqual(view.search);
  expect(statesOf({})).toEqual([]);
});

test("a local time is an instant in the address, and comes back to the field as it was", () => {
  const instant = instantOf("2026-03-01T14:30");
  expect(instant).toBe(new Date(2026, 2, 1, 14, 30).toISOString());
  expect(local(instant)).toBe("2026-03-01T14:30");
  // While one types a year.
  expect(local(instantOf("0002-03-01T14:30"))).toBe("0002-03-01T14:30");
  expect(instantOf("")).toBeUndefined();
  expect(instantOf("12026-03-01T14:30:00")).toBeUndefined();
});
