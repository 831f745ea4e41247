import type { Api } from "../../api/client";

const length = 86_400_000;

export interface Day {
  day: string;
  cost: number;
  jobs: number;
  merged: number;
  /** Failed, turned down, or left to somebody. */
  lost: number;
}

/** Every day from the first to the last: a day on which nothing was submitted has nothing, and is there. */
export function every(groups: readonly Api<"OutcomeGroup">[]): Day[] {
  const days = new Map<string, Day>();
  for (const group of groups) {
    const day = group.key?.slice(0, 10);
    if (day === undefined || Number.isNaN(Date.parse(day))) continue;
    days.set(day, {
      day,
      cost: group.cost_usd,
      jobs: group.jobs,
      merged: group.merged,
      lost: group.failed + group.needs_human + group.closed,
    });
  }
  const known = [...days.keys()].sort();
  const first = known[0];
  const last = known.at(-1);
  if (first === undefined || last === undefined) return [];
  const all: Day[] = [];
  for (let at = Date.parse(first); at <= Date.parse(last); at += length) {
    const day = new Date(at).toISOString().slice(0, 10);
    all.push(days.get(day) ?? { day, cost: 0, jobs: 0, merged: 0, lost: 0 });
  }
  return all;
}
