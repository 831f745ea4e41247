import type { Api } from "../../api/client";
import { type Kind, kinds } from "../../app/budget";
import { count, money } from "../../ui/kit";
import { Meter } from "../../ui/meter";
import { duration } from "../../ui/time";

/** An amount in the way of its kind. */
function amount(kind: Kind, value: number | null | undefined): string {
  if (value == null) return "–";
  if (kind === "usd") return money(value);
  if (kind === "minutes") return duration(value * 60_000);
  return `${count(value)} ${kind === "tokens" ? "token" : "turn"}${value === 1 ? "" : "s"}`;
}

/** What of a budget is limited or was used: each with its limit, or that there is none. */
export function Amounts({ budget, of }: { budget: Api<"BudgetResource">; of: string }) {
  const shown = kinds.filter(({ name }) => budget.limits[name] != null || (budget.used[name] ?? 0) > 0);
  if (shown.length === 0) return <p className="text-soft">Nothing used.</p>;
  return (
    <ul className="grid gap-x-6 gap-y-2 sm:grid-cols-2 xl:grid-cols-4">
      {shown.map(({ name: kind, label }) => {
        const limit = budget.limits[kind];
        const used = budget.used[kind] ?? 0;
        const reserved = budget.reserved[kind] ?? 0;
        return (
          <li key={kind} className="min-w-32">
            <div className="text-xs whitespace-nowrap">
              <span className="font-medium">{amount(kind, used)}</span>{" "}
              <span className="text-soft">{limit == null ? "no limit" : `of ${amount(kind, limit)}`}</span>
            </div>
            {limit != null && <Meter label={`${label} used by ${of}`} used={used} reserved={reserved} limit={limit} />}
            {reserved > 0 && <div className="text-xs text-soft">{amount(kind, reserved)} reserved</div>}
          </li>
        );
      })}
    </ul>
  );
}
