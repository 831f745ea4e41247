import { expect, test } from "vitest";
import type { Api } from "../../api/client";
import { edgeKey, type GraphModel } from "../../graph/model";
import { assumptionsOf, overlayOf, readAssumed, readTexts } from "./assumed";

test("an address is read as far as it makes sense", () => {
  expect(readAssumed({ a: { results: 3, when: true, items: "2", more: 1 }, b: null, c: { when: "perhaps" } })).toEqual({
    assume: { a: { results: "3", when: "true", items: "2" }, b: {}, c: {} },
  });
  for (const none of [undefined, null, "x", 1, {}]) expect(readAssumed(none)).toEqual({});
  expect(readTexts({ Name: "x", Number: 3, Nested: { a: 1 } })).toEqual({ given: { Name: "x", Number: "3" } });
  expect(readTexts("x")).toEqual({});
});

test("the server is asked for what was written, and what makes no sense is said", () => {
  const { assume, problems } = assumptionsOf({
    test: { results: "3, 0", when: "false" },
    fan: { items: " 7 " },
    review: { outputs: '{"verdict": "fine"}' },
    nothing: { results: " ", items: "", outputs: "" },
  });
  expect(assume).toEqual({
    test: { results: ["3", "0"], when: false },
    fan: { items: 7 },
    review: { outputs: { verdict: "fine" } },
  });
  expect(problems.size).toBe(0);
  const wrong = assumptionsOf({ a: { items: "-1" }, b: { outputs: "[1]" }, c: { outputs: "{" } });
  expect(wrong.assume).toEqual({});
  expect([...wrong.problems.keys()]).toEqual(["a", "b", "c"]);
});

test("the picture shows how tasks would end, and the ways that would be taken", () => {
  const graph: GraphModel = {
    nodes: [
      ...["plan", "build", "test", "mend"].map((name) => ({ name, kind: "task" as const, notes: [] })),
      { name: "END_BLOCKED", kind: "end", notes: [] },
    ],
    edges: [
      { from: "plan", to: "build", kind: "dependency", label: "" },
      { from: "build", to: "test", kind: "route", label: "COMPLETED" },
      { from: "test", to: "build", kind: "back", label: "3" },
      { from: "test", to: "END_BLOCKED", kind: "route", label: "4" },
      { from: "plan", to: "mend", kind: "weak", label: "optional" },
    ],
  };
  const task = (name: string, state: Api<"TaskState">, visits: number, attempts: number, result?: string) => ({
    task: name,
    state,
    visits,
    attempts,
    ...(result !== undefined && { result }),
  });
  const route = (of: string, text: string) => ({ at_ms: 0, kind: "route" as const, task: of, visit: 1, text });
  const { statuses, taken } = overlayOf(
    {
      job_type: "a",
      verdict: "BLOCKED",
      job_attempts: 1,
      waits_ms: 0,
      assumed: [],
      tasks: [
        task("plan", "COMPLETED", 1, 1, "COMPLETED"),
        task("build", "COMPLETED", 2, 3, "COMPLETED"),
        task("test", "FAILED", 2, 2, "4"),
        task("mend", "SKIPPED", 0, 0),
      ],
      steps: [
        { at_ms: 0, kind: "ran", task: "plan", text: "COMPLETED" },
        route("build", "COMPLETED → test"),
        route("test", "3 → build"),
        route("build", "COMPLETED → test"),
        route("test", "4 → [END_BLOCKED]"),
        route("test", "9 → elsewhere"),
      ],
    },
    graph,
  );
  expect(statuses.get("build")).toEqual({ state: "COMPLETED", visits: 2, detail: "3 attempts" });
  expect(statuses.get("test")).toEqual({ state: "FAILED", visits: 2, detail: "4" });
  expect(statuses.get("END_BLOCKED")).toEqual({ state: "BLOCKED", visits: 1 });
  expect(statuses.get("elsewhere")).toBeUndefined();
  expect(Object.fromEntries(taken)).toEqual({
    [edgeKey("plan", "build")]: 1,
    [edgeKey("build", "test")]: 2,
    [edgeKey("test", "build")]: 1,
    [edgeKey("test", "END_BLOCKED")]: 1,
  });
});
