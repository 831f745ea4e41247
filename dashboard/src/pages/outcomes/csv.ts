import type { Api } from "../../api/client";

type Group = Api<"OutcomeGroup">;

const columns: readonly (readonly [name: string, value: (group: Group) => number | null | undefined])[] = [
  ["jobs", (group) => group.jobs],
  ["in_progress", (group) => group.in_progress],
  ["pull_requests", (group) => group.pull_requests],
  ["merged", (group) => group.merged],
  ["closed", (group) => group.closed],
  ["needs_human", (group) => group.needs_human],
  ["failed", (group) => group.failed],
  ["cancelled", (group) => group.cancelled],
  ["open", (group) => group.open],
  ["completed", (group) => group.completed],
  ["attempts", (group) => group.attempts],
  ["turns", (group) => group.turns],
  ["tokens_input", (group) => group.tokens.input],
  ["tokens_output", (group) => group.tokens.output],
  ["tokens_cache_read", (group) => group.tokens.cache_read],
  ["tokens_cache_write", (group) => group.tokens.cache_write],
  ["tokens_unknown", (group) => group.tokens_unknown],
  ["cost_usd", (group) => group.cost_usd],
  ["cost_unknown", (group) => group.cost_unknown],
  ["cost_per_merged_usd", (group) => group.cost_per_merged_usd],
  ["first_time_right", (group) => group.first_time_right],
  ["rework_mean", (group) => group.rework.mean],
  ["rework_median", (group) => group.rework.median],
  ["seconds_to_pull_request_median", (group) => group.seconds_to_pull_request.median],
  ["seconds_to_merge_median", (group) => group.seconds_to_merge.median],
];

/** All figures of all groups, as RFC 4180 has it. What is not known is empty, never 0. */
export function csv(by: string, result: Pick<Api<"OutcomesResource">, "groups">): string {
  const rows = [
    [by, ...columns.map(([name]) => name)],
    ...result.groups.map((group) => [group.key ?? "", ...columns.map(([, value]) => String(value(group) ?? ""))]),
  ];
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Quoted when it has to be. A name is no formula, whatever it begins with: spreadsheets would run it. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?[0-9.]+(e[+-]?[0-9]+)?$/i.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
