import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { drawDefinition } from "./definition";
import { withoutEnds } from "./model";

const at = (path: string) => readFileSync(new URL(`../../../workflows/${path}`, import.meta.url), "utf8");

test("dependencies, routes, loops and ends are drawn", () => {
  const { graph, sources } = drawDefinition(`
job_type: x
defaults: {on_failed: ERR_BAD}
tasks:
  - task_type: test
    max_visits: 4
    script: ["./test"]
    on_exit_code: {COMPLETED: publish, 3: {goto: fix, max: 3}, "64-78": FATAL, 7: COMPLETED}
  - task_type: fix
    agent: {cli: claude}
    on_completed: test
    on_failed: [tell, END_BLOCKED]
  - task_type: tell
  - task_type: publish
    dependencies: [test, {task: fix, optional: true}]
  - {task_type: tidy, always_run: true, dependencies: [publish]}
`);
  expect(graph.nodes.map((node) => [node.name, node.kind])).toEqual([
    ["test", "task"],
    ["fix", "task"],
    ["tell", "task"],
    ["publish", "task"],
    ["tidy", "always"],
    ["FATAL", "end"],
    ["ERR_BAD", "end"],
    ["END_BLOCKED", "end"],
  ]);
  const edges = graph.edges.map((edge) => `${edge.from} ${edge.kind} ${edge.to} ${edge.label}`.trim());
  expect(edges).toContain("test route publish COMPLETED, 7");
  expect(edges).toContain("test route fix 3 (at most 3×)");
  expect(edges).toContain("fix back test COMPLETED");
  expect(edges).toContain("fix weak publish optional");
  expect(edges).toContain("test route FATAL 64-78");
  expect(edges).toContain("fix route tell FAILED");
  expect(graph.nodes[1]?.notes).toEqual(["agent"]);
  expect(sources.get("fix")).toBe(
    "task_type: fix\nagent: {cli: claude}\non_completed: test\non_failed: [tell, END_BLOCKED]",
  );
  expect(withoutEnds(graph, (end) => end === "FATAL").nodes.filter((node) => node.kind === "end")).toHaveLength(1);
});

test("anchors and merges are followed", () => {
  const { graph } = drawDefinition(at("local-implement.yaml"));
  const ways = graph.edges.filter((edge) => edge.from === "implement").map((edge) => [edge.to, edge.label]);
  expect(ways).toContainEqual(["unit-test", "COMPLETED, TESTS_FAILING"]);
  expect(ways).toContainEqual(["END_BLOCKED", "NO_CHANGE, BLOCKED, MAX_TURNS, TIMED_OUT, CONTEXT, POLICY"]);
  expect(graph.edges.filter((edge) => edge.kind === "back").map((edge) => [edge.from, edge.to])).toEqual([
    ["fix-tests", "unit-test"],
    ["triage", "monitor-pr"],
    ["sync", "monitor-pr"],
    ["retest", "address-feedback"],
    ["push-fixes", "sync"],
    ["confirm", "monitor-pr"],
  ]);
});

test("every example has all of its tasks, and nothing leads nowhere", () => {
  const files = readdirSync(new URL("../../../workflows/examples", import.meta.url)).map((name) => `examples/${name}`);
  for (const file of [...files, "gh-implement.yaml", "local-implement.yaml"].filter((name) => name.endsWith(".yaml"))) {
    const text = at(file);
    const { graph, sources } = drawDefinition(text);
    const written = text.match(/(^\s*(- )?|[{]\s*)task_type:/gm)?.length ?? 0;
    expect([file, graph.nodes.filter((node) => node.kind !== "end").length]).toEqual([file, written]);
    expect(sources.size).toBe(written);
    const names = new Set(graph.nodes.map((node) => node.name));
    for (const edge of graph.edges) expect([file, names.has(edge.from) && names.has(edge.to)]).toEqual([file, true]);
  }
});

test("what cannot be understood is left out", () => {
  for (const text of [
    "",
    "a",
    "- 1",
    "tasks: x",
    "tasks: [1, {task_type: [a]}]",
    "tasks:\n  - task_type: a\n    on_completed: {",
    "\t",
  ])
    expect(() => drawDefinition(text)).not.toThrow();
});
