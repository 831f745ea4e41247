import { type GraphEdge, type GraphModel, type GraphNode, markLoops } from "./model";
import { readYaml, type Yaml } from "./yaml";

/** A definition as it is drawn, and what it says of each task. */
export interface DrawnDefinition {
  graph: GraphModel;
  /** The text of each task, as it is written. */
  sources: Map<string, string>;
}

const methods: [key: string, note: string][] = [
  ["agent", "agent"],
  ["approval", "asks for approval"],
  ["github", "GitHub"],
  ["submit", "submits jobs"],
  ["sub_workflow", "forks a job"],
  ["await_forked_tasks", "awaits forked jobs"],
  ["expire", "removes artifacts"],
  ["url", "request"],
];

/** Words that only say which other route is followed. */
const asIf = new Set(["COMPLETED", "FAILED"]);
const ends = /^(END_[A-Z]+|ERR_\w+|FATAL|RESTART_JOB|PAUSE_JOB)$/;

/** Draws a definition that was accepted. Of one that is being written, it draws what can be understood. */
export function drawDefinition(source: string): DrawnDefinition {
  const document = readYaml(source);
  const sources = new Map<string, string>();
  const graph: GraphModel = { nodes: [], edges: [] };
  const root = document.value;
  if (!(root instanceof Map)) return { graph, sources };
  const defaults = root.get("defaults");
  const listed = root.get("tasks");
  const tasks = new Map<string, Map<string, Yaml>>();
  for (const each of Array.isArray(listed) ? listed : []) {
    const name = each instanceof Map ? each.get("task_type") : undefined;
    if (!(each instanceof Map) || typeof name !== "string" || tasks.has(name)) continue;
    const range = document.range(each);
    if (range) sources.set(name, dedent(source, range.from, range.to));
    const whole = defaults instanceof Map ? new Map([...defaults, ...each]) : each;
    tasks.set(name, whole);
  }
  const found: GraphNode[] = [];
  const edges = new Map<string, GraphEdge>();
  const notes = new Map<string, string[]>();
  const add = (from: string, to: string, kind: GraphEdge["kind"], label: string) => {
    const key = `${from}\n${to}\n${kind}`;
    const same = edges.get(key);
    if (same === undefined) edges.set(key, { from, to, kind, label });
    else if (label !== "") same.label = same.label === "" ? label : `${same.label}, ${label}`;
  };
  for (const [name, task] of tasks) {
    for (const dependency of entries(task.get("dependencies"))) {
      const on = dependency instanceof Map ? dependency.get("task") : dependency;
      if (typeof on !== "string" || !tasks.has(on)) continue;
      const optional = dependency instanceof Map && dependency.get("optional") === "true";
      add(on, name, optional ? "weak" : "dependency", optional ? "optional" : "");
    }
  }
  for (const [name, task] of tasks) {
    const own = notesOf(task);
    notes.set(name, own);
    for (const { match, target, max } of routesOf(task)) {
      const label = max === undefined ? match : `${match} (at most ${max}×)`;
      for (const to of target) {
        if (tasks.has(to)) {
          if (to === name) own.push(`${label}: again`);
          else add(name, to, "route", label);
        } else if (ends.test(to)) {
          if (!found.some((node) => node.name === to)) found.push({ name: to, kind: "end", notes: [] });
          add(name, to, "route", label);
        } else if (to.startsWith("again")) own.push(`${label}: ${to}`);
      }
    }
  }
  for (const [name, task] of tasks)
    graph.nodes.push({
      name,
      kind: task.get("always_run") === "true" ? "always" : "task",
      notes: notes.get(name) ?? [],
    });
  graph.nodes.push(...found);
  graph.edges.push(...edges.values());
  return { graph: markLoops(graph), sources };
}

function entries(value: Yaml | undefined): Yaml[] {
  if (Array.isArray(value)) return value;
  return value == null ? [] : [value];
}

interface Way {
  match: string;
  target: string[];
  max?: string;
}

/** The routes of a task; what matches only to be treated as COMPLETED or FAILED stands with that route. */
function routesOf(task: Map<string, Yaml>): Way[] {
  const ways: Way[] = [];
  const also: { match: string; as: string }[] = [];
  const add = (match: string, target: Yaml) => {
    const max = target instanceof Map ? target.get("max") : undefined;
    const to = target instanceof Map ? (target.get("goto") ?? target) : target;
    if (typeof to === "string" && asIf.has(to)) return also.push({ match, as: to });
    if (to instanceof Map) {
      const after = to.get("reschedule");
      return typeof after === "string" && ways.push({ match, target: [`again after ${after}`] });
    }
    const names = entries(to).filter((each) => typeof each === "string");
    const target_ = names.map((each) => (each === "RESTART_TASK" ? "again" : each));
    return ways.push({ match, target: target_, ...(typeof max === "string" ? { max } : {}) });
  };
  const exits = task.get("on_exit_code");
  if (exits instanceof Map) for (const [match, target] of exits) add(match, target);
  for (const [key, match] of [
    ["on_completed", "COMPLETED"],
    ["on_failed", "FAILED"],
  ] as const) {
    const target = task.get(key);
    if (target != null) add(match, target);
  }
  for (const { match, as } of also) {
    const way = ways.find((each) => each.match === as || each.match.startsWith(`${as}, `));
    if (way && way.match !== match) way.match = `${way.match}, ${match}`;
  }
  return ways;
}

function notesOf(task: Map<string, Yaml>): string[] {
  const notes: string[] = [];
  const method = methods.find(([key]) => task.has(key));
  if (method) notes.push(method[1]);
  if (task.has("fan_out")) notes.push("once per item");
  if (task.has("when") || task.has("except")) notes.push("on a condition");
  const visits = task.get("max_visits");
  if (typeof visits === "string") notes.push(`at most ${visits} visits`);
  if (task.get("allow_failure") === "true") notes.push("may fail");
  return notes;
}

/** A part of the text, as if it stood at the left margin. */
function dedent(source: string, from: number, to: number): string {
  const start = from + (/^\s*/.exec(source.slice(from, to))?.[0].length ?? 0);
  const column = start - (source.lastIndexOf("\n", start - 1) + 1);
  const [first = "", ...rest] = source.slice(start, to).trimEnd().split("\n");
  const lines = rest.map((line) => (line.slice(0, column).trim() === "" ? line.slice(column) : line));
  return [first, ...lines].join("\n");
}
