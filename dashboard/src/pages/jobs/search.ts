import type { Api } from "../../api/client";
import { active, ended } from "../../app/states";

type State = Api<"JobState">;

/** All states, in the order in which a job meets them. */
export const states: readonly State[] = [...active, ...ended];

/** Periods that end now. */
export const periods = { "1h": 3_600_000, "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000 } as const;
export type Period = keyof typeof periods;

/** So many labels may be asked for at once. */
const mostLabels = 10;

/** What the address of the list says: which jobs are shown. */
export interface JobsSearch {
  /** States with commas between them. */
  state?: string;
  type?: string;
  text?: string;
  since?: Period;
  /** Days or instants, ISO 8601. */
  after?: string;
  before?: string;
  parent?: string;
  key?: string;
  /** `name:value`, or a name alone; with all of them when there are several. */
  label?: string | string[];
}

const word = (value: unknown) => {
  // The router reads what looks like a number as one.
  const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
  return typeof text === "string" && text.trim() !== "" ? text.slice(0, 300) : undefined;
};

const instant = (value: unknown) => {
  const text = word(value);
  return text !== undefined && !Number.isNaN(Date.parse(text)) ? text : undefined;
};

/** What a field for a local time says, as an instant that is the same for whoever gets the address; undefined for none. */
export function instantOf(text: string): string | undefined {
  return Number.isNaN(Date.parse(text)) ? undefined : new Date(text).toISOString();
}

/** An instant as such a field wants it: in local time, to the minute. */
export function local(text: string | undefined): string {
  if (text === undefined) return "";
  const date = new Date(text);
  const pad = (number: number, length = 2) => String(number).padStart(length, "0");
  return `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** The labels that a search names. */
export const labelsOf = ({ label = [] }: Pick<JobsSearch, "label">): string[] =>
  Array.isArray(label) ? label : [label];

/** The states that a search names; unknown ones are left out. */
export function statesOf(search: Pick<JobsSearch, "state">): State[] {
  const named = new Set((search.state ?? "").split(","));
  return states.filter((state) => named.has(state));
}

/** Takes what is understood from an address and leaves out the rest, so that no address breaks the page. */
export function readSearch(raw: Record<string, unknown>): JobsSearch {
  const list = Array.isArray(raw.state) ? raw.state.join(",") : word(raw.state);
  const known = statesOf({ state: (list ?? "").toUpperCase() }).join(",");
  const since = word(raw.since);
  const search: JobsSearch = {};
  const put = <K extends keyof JobsSearch>(name: K, value: JobsSearch[K] | undefined) => {
    if (value !== undefined && value !== "") search[name] = value;
  };
  put("state", known);
  put("type", word(raw.type));
  put("text", word(raw.text));
  if (since !== undefined && Object.hasOwn(periods, since)) put("since", since as Period);
  else {
    put("after", instant(raw.after));
    put("before", instant(raw.before));
  }
  put("parent", word(raw.parent));
  put("key", word(raw.key));
  const labels = (Array.isArray(raw.label) ? raw.label : [raw.label]).flatMap((each) => word(each)?.trim() ?? []);
  const each = [...new Set(labels)].filter((label) => !label.startsWith(":")).slice(0, mostLabels);
  put("label", each.length > 1 ? each : each[0]);
  return search;
}

/** The search with one thing changed; what is empty is left out of the address. */
export function changed(
  search: JobsSearch,
  change: { [K in keyof JobsSearch]?: JobsSearch[K] | undefined },
): JobsSearch {
  return readSearch({ ...search, ...change });
}

/** What the server is asked for. */
export function queryOf(search: JobsSearch, now: number) {
  const after = search.since ? new Date(now - periods[search.since]).toISOString() : iso(search.after);
  const before = iso(search.before);
  const named = statesOf(search);
  const labels = labelsOf(search);
  return {
    ...(named.length > 0 && { state: named }),
    ...(search.type && { job_type: search.type }),
    ...(search.text && { text: search.text }),
    ...(search.parent && { parent: search.parent }),
    ...(search.key && { user_key: search.key }),
    ...(after && { created_after: after }),
    ...(before && { created_before: before }),
    ...(labels.length > 0 && { label: labels }),
  };
}

const iso = (text: string | undefined) => (text === undefined ? undefined : new Date(text).toISOString());

/** A named search. */
export interface View {
  name: string;
  search: JobsSearch;
}

/** Views that everybody has. */
export const views: readonly View[] = [
  { name: "All", search: {} },
  { name: "Active", search: { state: active.join(",") } },
  { name: "Need somebody", search: { state: "PAUSED,BLOCKED" } },
  { name: "Failed, 7 days", search: { state: "FAILED", since: "7d" } },
  { name: "Ended, 24 hours", search: { state: ended.join(","), since: "24h" } },
];

/** Whether two searches show the same. */
export function same(a: JobsSearch, b: JobsSearch): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof JobsSearch>;
  return [...names].every((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));
}

/** Reads saved views from what the browser kept; what is not understood is left out. */
export function readViews(text: string | null): View[] {
  try {
    const list: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(list)) return [];
    return list.flatMap((each: unknown) => {
      if (typeof each !== "object" || each === null) return [];
      const { name, search } = each as Record<string, unknown>;
      if (typeof name !== "string" || typeof search !== "object" || search === null) return [];
      return [{ name: name.slice(0, 60), search: readSearch(search as Record<string, unknown>) }];
    });
  } catch {
    return [];
  }
}
