import type { Api } from "../../api/client";
import { endState, targetsOf } from "../../graph/ends";
import { edgeKey, type GraphModel } from "../../graph/model";
import type { NodeStatus } from "../../graph/parts";

/** What somebody assumes of a task, as it was written; what is empty is not assumed. */
export interface AssumedTexts {
  /** Exit codes or names of results, with commas between them: one for each attempt, and the last one repeats. */
  results?: string;
  when?: "true" | "false";
  items?: string;
  /** A JSON object. */
  outputs?: string;
}

const most = 50;
const texts = (raw: unknown): Record<string, string> =>
  typeof raw !== "object" || raw === null
    ? {}
    : Object.fromEntries(
        Object.entries(raw)
          .slice(0, most)
          .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
          .map(([name, value]) => [name, String(value).slice(0, 2000)]),
      );

/** The parameters of an address. */
export function readTexts(raw: unknown): { given?: Record<string, string> } {
  const given = texts(raw);
  return Object.keys(given).length === 0 ? {} : { given };
}

/** The assumptions of an address; what makes no sense is left out. */
export function readAssumed(raw: unknown): { assume?: Record<string, AssumedTexts> } {
  if (typeof raw !== "object" || raw === null) return {};
  const assume: Record<string, AssumedTexts> = {};
  for (const [task, value] of Object.entries(raw).slice(0, most)) {
    const { results, when, items, outputs } = texts(value);
    assume[task] = {
      ...(results !== undefined && { results }),
      ...((when === "true" || when === "false") && { when }),
      ...(items !== undefined && { items }),
      ...(outputs !== undefined && { outputs }),
    };
  }
  return Object.keys(assume).length === 0 ? {} : { assume };
}

/** What the server is asked to assume, and why some of it cannot be: by task. */
export function assumptionsOf(assumed: Record<string, AssumedTexts>): {
  assume: Record<string, Api<"TaskAssumption">>;
  problems: Map<string, string>;
} {
  const assume: Record<string, Api<"TaskAssumption">> = {};
  const problems = new Map<string, string>();
  for (const [task, { results, when, items, outputs }] of Object.entries(assumed)) {
    const one: Api<"TaskAssumption"> = {};
    const list = (results ?? "").split(/[\s,]+/).filter((each) => each !== "");
    if (list.length > 0) one.results = list;
    if (when !== undefined) one.when = when === "true";
    if (items !== undefined && items.trim() !== "") {
      if (/^\d{1,6}$/.test(items.trim())) one.items = Number(items);
      else problems.set(task, "How many items it has is a whole number.");
    }
    if (outputs !== undefined && outputs.trim() !== "") {
      const value = objectOf(outputs);
      if (value === undefined) problems.set(task, 'Outputs are a JSON object, such as {"verdict": "fine"}.');
      else one.outputs = value;
    }
    if (Object.keys(one).length > 0) assume[task] = one;
  }
  return { assume, problems };
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** How the tasks would end, and which ways would be taken to them. */
export function overlayOf(rehearsal: Api<"Rehearsal">, graph: GraphModel) {
  const statuses = new Map<string, NodeStatus>();
  const taken = new Map<string, number>();
  const names = new Set(graph.nodes.map((node) => node.name));
  const tasks = new Map(rehearsal.tasks.map((task) => [task.task, task]));
  for (const { task, state, result, visits, attempts } of rehearsal.tasks) {
    const tries = attempts > visits ? `${attempts} attempts` : "";
    const detail = [result !== state ? result : "", tries].filter(Boolean).join(", ");
    statuses.set(task, { state, visits, ...(detail !== "" && { detail }) });
  }
  for (const { kind, task, text } of rehearsal.steps) {
    if (kind !== "route" || task == null) continue;
    for (const word of targetsOf(text.split(" → ").at(-1))) {
      if (!names.has(word)) continue;
      const state = tasks.has(word) ? undefined : endState(word);
      if (state !== undefined) statuses.set(word, { state, visits: 1 });
      const key = edgeKey(task, word);
      taken.set(key, (taken.get(key) ?? 0) + 1);
    }
  }
  for (const { from, to, kind } of graph.edges) {
    if (kind !== "dependency" && kind !== "weak") continue;
    const ready = kind === "weak" || tasks.get(from)?.state === "COMPLETED";
    if (ready && (tasks.get(to)?.attempts ?? 0) > 0 && !taken.has(edgeKey(from, to))) taken.set(edgeKey(from, to), 1);
  }
  return { statuses, taken };
}
