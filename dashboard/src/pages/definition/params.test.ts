import { describe, expect, it } from "vitest";
import { paramsOf, readValue } from "./params";
import { definitionSearch } from "./search";

const source = `
job_type: x
params:
  Issue: {type: integer, required: true, description: "Which issue"}
  Branch:
    default: main
    pattern: ^[a-z]+$
  Mode: {enum: [fast, slow], default: fast}
  Deep: {type: boolean}
  Labels: {type: array, default: [a, b]}
  Plain:
required_params: [Repo, Branch]
`;

describe("the parameters of a definition", () => {
  const params = paramsOf(source);
  const named = (name: string) => {
    const found = params.find((each) => each.name === name);
    if (!found) throw new Error(name);
    return found;
  };

  it("are read with type, default, words and whether they must be given", () => {
    expect(params.map((each) => [each.name, each.type, each.required])).toEqual([
      ["Issue", "integer", true],
      ["Branch", "string", false],
      ["Mode", "string", false],
      ["Deep", "boolean", false],
      ["Labels", "array", false],
      ["Plain", "string", false],
      ["Repo", "string", true],
    ]);
    expect(named("Issue").description).toBe("Which issue");
    expect(named("Mode")).toMatchObject({ choices: ["fast", "slow"], initial: "fast" });
    expect(named("Labels").initial).toBe('["a","b"]');
  });

  it("become values of their types, or say what is expected", () => {
    expect(readValue(named("Issue"), " 12 ")).toEqual({ value: 12 });
    expect(readValue(named("Issue"), "1.5")).toEqual({ problem: "A whole number is expected" });
    expect(readValue(named("Issue"), "x")).toEqual({ problem: "A number is expected" });
    expect(readValue(named("Branch"), "Main")).toEqual({ problem: "It has to match ^[a-z]+$" });
    expect(readValue(named("Deep"), "false")).toEqual({ value: false });
    expect(readValue(named("Labels"), '["x"]')).toEqual({ value: ["x"] });
    expect(readValue(named("Labels"), "{}")).toEqual({ problem: "A JSON list is expected" });
    expect(readValue(named("Plain"), " a ")).toEqual({ value: " a " });
  });

  it("are none of what is no definition", () => {
    for (const text of ["", "- a", "params: [", "params: 3"]) expect(paramsOf(text)).toEqual([]);
  });
});

it("the address of the page is read without trust", () => {
  expect(definitionSearch({ tab: "run", from: 123, x: "<b>" })).toEqual({ tab: "run", from: "123" });
  expect(definitionSearch({ tab: "nonsense" })).toEqual({});
});
