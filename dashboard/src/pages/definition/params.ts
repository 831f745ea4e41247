import { readYaml, type Yaml } from "../../graph/yaml";

export type ParamType = "string" | "integer" | "number" | "boolean" | "object" | "array";

/** A parameter that a definition declares. */
export interface Param {
  name: string;
  type: ParamType;
  required: boolean;
  description: string;
  /** The default as the form shows it. */
  initial: string | undefined;
  choices: string[];
  pattern: string | undefined;
}

const types: readonly ParamType[] = ["string", "integer", "number", "boolean", "object", "array"];

/** The parameters of a definition, in its order. */
export function paramsOf(source: string): Param[] {
  const root = readYaml(source).value;
  if (!(root instanceof Map)) return [];
  const found = new Map<string, Param>();
  const declared = root.get("params");
  if (declared instanceof Map) for (const [name, value] of declared) found.set(name, paramOf(name, value));
  const required = root.get("required_params");
  for (const name of Array.isArray(required) ? required : []) {
    if (typeof name !== "string") continue;
    const known = found.get(name) ?? paramOf(name, null);
    found.set(name, { ...known, required: known.initial === undefined });
  }
  return [...found.values()];
}

function paramOf(name: string, value: Yaml): Param {
  const of = (key: string) => (value instanceof Map ? value.get(key) : undefined);
  const words = (each: Yaml | undefined) => (typeof each === "string" ? each : undefined);
  const type = types.find((each) => each === of("type")) ?? "string";
  const choices = of("enum");
  const initial = of("default");
  return {
    name,
    type,
    required: of("required") === "true" && initial === undefined,
    description: words(of("description")) ?? "",
    initial: initial === undefined ? undefined : textOf(initial),
    choices: Array.isArray(choices) ? choices.map(textOf) : [],
    pattern: words(of("pattern")),
  };
}

function textOf(value: Yaml): string {
  return value === null ? "null" : typeof value === "string" ? value : JSON.stringify(plainOf(value));
}

function plainOf(value: Yaml): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plainOf(each)]));
  return Array.isArray(value) ? value.map(plainOf) : value;
}

/** The value that a text in the form stands for, or the sentence why it is none. */
export function readValue(param: Param, text: string): { value: unknown } | { problem: string } {
  const { type } = param;
  if (type === "string") {
    if (param.pattern !== undefined && !fits(param.pattern, text))
      return { problem: `It has to match ${param.pattern}` };
    return { value: text };
  }
  const trimmed = text.trim();
  if (type === "boolean") return { value: trimmed === "true" };
  if (type === "integer" || type === "number") {
    const value = Number(trimmed);
    if (trimmed === "" || !Number.isFinite(value)) return { problem: "A number is expected" };
    if (type === "integer" && !Number.isSafeInteger(value)) return { problem: "A whole number is expected" };
    return { value };
  }
  try {
    const value: unknown = JSON.parse(trimmed);
    const right =
      type === "array" ? Array.isArray(value) : typeof value === "object" && value !== null && !Array.isArray(value);
    return right ? { value } : { problem: type === "array" ? "A JSON list is expected" : "A JSON object is expected" };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The values that texts in the form stand for, and the sentences why some are none. What is left empty is not given. */
export function readValues(
  params: readonly Param[],
  texts: Record<string, string>,
): { values: Record<string, unknown>; problems: Map<string, string> } {
  const problems = new Map<string, string>();
  const values: Record<string, unknown> = {};
  for (const param of params) {
    const text = texts[param.name] ?? "";
    if (text === "") {
      if (param.required) problems.set(param.name, "It has to be given");
      continue;
    }
    const read = readValue(param, text);
    if ("problem" in read) problems.set(param.name, read.problem);
    else values[param.name] = read.value;
  }
  return { values, problems };
}

/** The server's expressions are not quite the browser's: what is no expression here is left to the server. */
function fits(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}
