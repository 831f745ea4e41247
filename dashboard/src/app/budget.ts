import type { Api } from "../api/client";
import { count, money } from "../ui/kit";
import { suggested } from "./inbox";

export type Kind = "usd" | "tokens" | "agent_turns" | "minutes";

interface KindOfAmount {
  name: Kind;
  label: string;
  whole: boolean;
  show: (value: number) => string;
}

/** One kind of amount of a budget. */
export interface Amount extends KindOfAmount {
  limit: number;
  used: number;
  suggested: number;
}

/** What budgets limit. */
export const kinds: readonly KindOfAmount[] = [
  { name: "usd", label: "US dollars", show: money, whole: false },
  { name: "tokens", label: "Tokens", show: count, whole: true },
  { name: "agent_turns", label: "Turns", show: count, whole: true },
  { name: "minutes", label: "Minutes", show: (value) => `${Number(value.toFixed(1))} min`, whole: false },
];

/** What a budget limits, in the order of its kinds. */
export function limited(budget: Pick<Api<"JobBudget">, "limits" | "used">): Amount[] {
  return kinds.flatMap((kind) => {
    const limit = budget.limits[kind.name];
    if (limit == null) return [];
    const used = budget.used[kind.name] ?? 0;
    const more = suggested(limit, used);
    return [{ ...kind, limit, used, suggested: kind.whole ? Math.ceil(more) : more }];
  });
}

/** Of a used-up budget, what is nearly or quite used up; all of it when nothing stands out. */
export function tight(budget: Pick<Api<"JobBudget">, "limits" | "used">): Amount[] {
  const all = limited(budget);
  const near = all.filter(({ used, limit }) => used >= limit * 0.9);
  return near.length > 0 ? near : all;
}

/** The limits that fields say, of those that are changed; undefined while one of them is no number, or less than it was. */
export function raised(rows: readonly Amount[], texts: Record<string, string>): Api<"BudgetAmounts"> | undefined {
  const changed: Api<"BudgetAmounts"> = {};
  for (const { name, limit, whole } of rows) {
    const text = texts[name]?.trim() ?? "";
    if (text === "") continue;
    const value = whole ? Math.round(Number(text)) : Number(text);
    if (!Number.isFinite(value) || value < limit) return undefined;
    if (value !== limit) changed[name] = value;
  }
  return changed;
}
