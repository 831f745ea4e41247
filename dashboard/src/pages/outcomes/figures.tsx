import type { Api } from "../../api/client";
import { count, money } from "../../ui/kit";
import { atLeast, mean, percent, took } from "./words";

/** The few numbers that one looks at first. */
export function Figures({ total }: { total: Api<"OutcomeFigures"> }) {
  const others = [
    [total.closed, "closed"],
    [total.needs_human, "left to somebody"],
    [total.failed, "failed"],
    [total.cancelled, "cancelled"],
    [total.open, "open"],
  ] as const;
  const tiles: readonly (readonly [name: string, value: string, more: string])[] = [
    [
      "Cost per merge",
      atLeast(money(total.cost_per_merged_usd), total.cost_unknown),
      total.merged === 0 ? "nothing was merged" : "all cost, by what was merged",
    ],
    ["Merged", count(total.merged), `of ${count(total.pull_requests)} pull requests`],
    [
      "Right the first time",
      percent(total.first_time_right),
      total.first_time_right == null ? "no round of rework is counted" : "merged without rework",
    ],
    ["Rework", mean(total.rework.mean), `rounds on average; median ${mean(total.rework.median)}`],
    ["Time to pull request", took(total.seconds_to_pull_request.median), "median, from the submission"],
    ["Time to merge", took(total.seconds_to_merge.median), "median, from the submission"],
    [
      "Cost",
      atLeast(money(total.cost_usd), total.cost_unknown),
      `${count(total.attempts)} attempts, ${count(total.turns)} turns${total.cost_unknown > 0 ? `; not known of ${count(total.cost_unknown)}` : ""}`,
    ],
    [
      "Jobs",
      count(total.jobs),
      [
        total.in_progress > 0 ? `${count(total.in_progress)} in progress` : "",
        ...others.filter(([number]) => number > 0).map(([number, word]) => `${count(number)} ${word}`),
      ]
        .filter((text) => text !== "")
        .join(", ") || "all have ended",
    ],
  ];
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line lg:grid-cols-4">
      {tiles.map(([name, value, more]) => (
        <div key={name} className="flex flex-col bg-panel px-4 py-3">
          <dt className="text-xs text-soft">{name}</dt>
          <dd className="text-xl font-semibold tabular-nums">{value}</dd>
          <dd className="text-xs text-soft">{more}</dd>
        </div>
      ))}
    </dl>
  );
}
