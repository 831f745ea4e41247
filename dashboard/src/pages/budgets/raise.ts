import type { Api } from "../../api/client";
import type { Kind } from "./amounts";

type Amounts = Api<"BudgetAmounts">;

/** The limits that somebody changed, as numbers. */
export function raised(limits: Amounts, texts: Readonly<Record<string, string>>): Partial<Record<Kind, number>> {
  const changed: Partial<Record<Kind, number>> = {};
  for (const kind of ["usd", "tokens", "agent_turns", "minutes"] as const) {
    const text = texts[kind]?.trim() ?? "";
    const value = Number(text);
    if (text === "" || !Number.isFinite(value) || value === limits[kind]) continue;
    changed[kind] = kind === "tokens" || kind === "agent_turns" ? Math.round(value) : value;
  }
  return changed;
}
