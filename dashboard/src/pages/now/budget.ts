import type { Api } from "../../api/client";
import { suggested } from "../../app/inbox";
import { count, money } from "../../ui/kit";

type Name = "usd" | "tokens" | "agent_turns" | "minutes";

/** One kind of amount of a budget. */
export interface Amount {
  name: Name;
  label: string;
  limit: number;
  used: number;
  suggested: number;
  show: (value: number) => string;
}

const kinds: { name: Name; label: string; show: (value: number) => string; whole: boolean }[] = [
  { name: "usd", label: "US dollars", show: money, whole: false },
  { name: "tokens", label: "Tokens", show: count, whole: true },
  { name: "agent_turns", label: "Turns", show: count, whole: true },
  { name: "minutes", label: "Minutes", show: (value) => `${Number(value.toFixed(1))} min`, whole: false },
];

/** What a budget limits, in the order of its kinds. */
export function limited(budget: Pick<Api<"JobBudget">, "limits" | "used">): Amount[] {
  return kinds.flatMap(({ name, label, show, whole }) => {
    const limit = budget.limits[name];
    if (limit == null) return [];
    const used = budget.used[name] ?? 0;
    const more = suggested(limit, used);
    return [{ name, label, show, limit, used, suggested: whole ? Math.ceil(more) : more }];
  });
}

/** Of a used-up budget, what is nearly or quite used up; all of it when nothing stands out. */
export function tight(budget: Pick<Api<"JobBudget">, "limits" | "used">): Amount[] {
  const all = limited(budget);
  const near = all.filter(({ used, limit }) => used >= limit * 0.9);
  return near.length > 0 ? near : all;
}

/** The new limits that the fields say; undefined while one of them is no number or no more than it was. */
export function amounts(rows: Amount[], values: Record<string, string>): Api<"BudgetAmounts"> | undefined {
  const chosen: Api<"BudgetAmounts"> = {};
  for (const { name, limit, suggested: more } of rows) {
    const value = Number(values[name] ?? more);
    if (!Number.isFinite(value) || value < limit) return undefined;
    chosen[name] = name === "tokens" || name === "agent_turns" ? Math.round(value) : value;
  }
  return rows.some(({ name, limit }) => (chosen[name] ?? 0) > limit) ? chosen : undefined;
}
