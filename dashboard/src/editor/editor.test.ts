import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { placeAt } from "./place";
import { positionOf } from "./problems";
import { about, keysAt, type Schema, valuesAt } from "./schema";

const schema = JSON.parse(
  readFileSync(new URL("../../../docs/reference/job-definition.schema.json", import.meta.url), "utf8"),
) as Schema;

/** The place of `|` in a text. */
function at(text: string) {
  const lines = text.split("\n");
  const line = lines.findIndex((each) => each.includes("|"));
  const column = lines[line]?.indexOf("|") ?? 0;
  lines[line] = (lines[line] ?? "").replace("|", "");
  return placeAt(lines, line, column);
}

describe("a place in a definition", () => {
  it("is found by indentation", () => {
    expect(at("job_t|")).toMatchObject({ path: [], kind: "key", key: "job_t", from: 0 });
    expect(at("job_type: a\ntasks:\n  - task_type: x\n    met|")).toMatchObject({ path: ["tasks", "*"], key: "met" });
    expect(at("job_type: a\ntasks:\n- task_type: x\n  met|")).toMatchObject({ path: ["tasks", "*"], key: "met" });
    expect(at("tasks:\n  - ta|")).toMatchObject({ path: ["tasks", "*"], kind: "key", key: "ta", from: 4 });
    expect(at("tasks:\n  - task_type: x\n    agent:\n      cl|")).toMatchObject({ path: ["tasks", "*", "agent"] });
    expect(at("tasks:\n  - task_type: a\n  - task_type: b\n    method: S|")).toMatchObject({
      path: ["tasks", "*", "method"],
      kind: "value",
      from: 12,
    });
    expect(at("tasks:\n  - task_type: a\n    dependencies:\n      - task: b\n        opt|")).toMatchObject({
      path: ["tasks", "*", "dependencies", "*"],
    });
    expect(at("params:\n  Issue:\n    type: i|")).toMatchObject({ path: ["params", "Issue", "type"], kind: "value" });
  });

  it("knows what stands beside it", () => {
    const place = at(
      "tasks:\n  - task_type: a\n    method: SHELL\n    |\n    script: [x]\n  - task_type: b\n    timeout: 1s",
    );
    expect([...(place?.beside ?? [])].sort()).toEqual(["method", "script", "task_type"]);
  });

  it("is none in texts and comments", () => {
    expect(at("# he|")).toBeUndefined();
    const lines = ["script:", "  - |", "    echo hello"];
    expect(placeAt(lines, 2, 8)).toBeUndefined();
  });
});

describe("the schema", () => {
  it("says which keys there are, wherever they are", () => {
    expect(keysAt(schema, []).map((each) => each.label)).toContain("job_type");
    expect(keysAt(schema, ["tasks", "*"]).find((each) => each.label === "task_type")).toMatchObject({ required: true });
    expect(keysAt(schema, ["tasks", "*", "agent"]).map((each) => each.label)).toContain("cli");
    expect(keysAt(schema, ["params", "Anything"]).map((each) => each.label)).toContain("default");
    expect(keysAt(schema, ["nonsense", "*"])).toEqual([]);
  });

  it("says which words a value may be", () => {
    expect(valuesAt(schema, ["tasks", "*", "method"])).toContain("APPROVAL");
    expect(valuesAt(schema, ["params", "x", "required"])).toEqual(["true", "false"]);
  });

  it("explains a key", () => {
    expect(about(schema, ["job_type"])?.text).toContain("name of the definition");
    expect(about(schema, ["tasks", "*", "nonsense"])).toBeUndefined();
  });
});

it("the server's places are found in the text", () => {
  expect(positionOf("a b.yaml:3:7")).toEqual({ line: 3, column: 7 });
  expect(positionOf("params.Issue")).toBeUndefined();
});
