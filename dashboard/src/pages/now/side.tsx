import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { TriangleAlert } from "lucide-react";
import type { Api } from "../../api/client";
import { limited } from "../../app/budget";
import { ants, budgets, degradation } from "../../app/overview";
import { count, Loaded, money, Panel } from "../../ui/kit";
import { Meter } from "../../ui/meter";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";

/** Who does the work, and how busy they are. */
export function AntsPanel() {
  const query = useQuery(ants);
  return (
    <Panel
      title="Ants"
      flush
      actions={
        <Link to="/ants" className="text-xs text-accent hover:underline">
          All ants
        </Link>
      }
    >
      <Loaded query={query}>
        {(items) =>
          items.length === 0 ? (
            <p className="p-4 text-soft">
              No ant is connected, so nothing can run. <code>atta serve --slots 2</code> runs tasks in the server
              itself; <code>atta ant</code> does on another machine.
            </p>
          ) : (
            <ul className="divide-y divide-line">
              {items.slice(0, 8).map((ant) => (
                <AntLine key={ant.ant_id} ant={ant} />
              ))}
              {items.length > 8 && <li className="px-4 py-2 text-xs text-soft">and {items.length - 8} more</li>}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  );
}

function AntLine({ ant }: { ant: Api<"AntResource"> }) {
  const bad = ant.state === "SILENT" || ant.state === "LOST";
  return (
    <li className="flex flex-col gap-1 px-4 py-2">
      <div className="flex items-center justify-between gap-2">
        <span className="min-w-0 truncate font-medium" title={ant.ant_id}>
          {ant.ant_id}
        </span>
        <span className="flex shrink-0 items-center gap-2 text-xs text-soft tabular-nums">
          {bad && <Badge tone="bad">{ant.state === "LOST" ? "Lost" : "Silent"}</Badge>}
          {ant.state === "AWAITED" && <Badge tone="idle">Awaited</Badge>}
          {ant.mode !== "OPEN" && <Badge tone="ask">{ant.mode === "CORDONED" ? "Cordoned" : "Draining"}</Badge>}
          {ant.used} of {ant.slots} busy
        </span>
      </div>
      <Meter label={`Slots of ${ant.ant_id}`} used={ant.used} limit={ant.slots} calm />
      {bad && ant.last_heard_at && (
        <span className="text-xs text-soft">
          last heard <Time at={ant.last_heard_at} />
        </span>
      )}
    </li>
  );
}

/** What agents have used today, against what they may. */
export function SpendPanel() {
  const query = useQuery(budgets);
  return (
    <Panel
      title="Spend today"
      flush
      actions={
        <Link to="/budgets" className="text-xs text-accent hover:underline">
          Budgets
        </Link>
      }
    >
      <Loaded query={query}>
        {(report) => {
          const day = report.budgets.find((each) => each.scope === "day");
          const definitions = report.budgets
            .filter((each) => each.scope === "definition" && limited(each).length > 0)
            .sort((a, b) => (b.used.usd ?? 0) - (a.used.usd ?? 0));
          return (
            <div className="divide-y divide-line">
              <div className="flex flex-col gap-1.5 px-4 py-3">
                <p className="flex items-baseline gap-2">
                  <span className="text-2xl font-semibold tabular-nums">{money(day?.used.usd ?? 0)}</span>
                  <span className="text-soft">
                    {day?.limits.usd != null ? `of ${money(day.limits.usd)}` : "no limit for the day"}
                  </span>
                </p>
                {day && <Bars budget={day} quiet={day.limits.usd == null} />}
                <p className="text-xs text-soft">
                  {count(day?.used.tokens ?? 0)} tokens · {count(day?.used.agent_turns ?? 0)} turns
                  {(day?.reserved.usd ?? 0) > 0 && ` · ${money(day?.reserved.usd)} reserved by agents at work`}
                </p>
                <p className="text-xs text-soft">
                  The day is one of UTC; the next begins <Time at={report.next_day_at} />.
                </p>
                {(day?.waiting ?? 0) > 0 && (
                  <p className="text-xs text-ask">{day?.waiting} attempts of agents wait until then.</p>
                )}
              </div>
              {definitions.slice(0, 4).map((each) => (
                <div key={each.job_type} className="flex flex-col gap-1 px-4 py-2">
                  <div className="flex justify-between gap-2 text-xs">
                    <Link
                      to="/definitions/$type"
                      params={{ type: each.job_type ?? "" }}
                      className="min-w-0 truncate font-medium hover:underline"
                    >
                      {each.job_type}
                    </Link>
                    <span className="shrink-0 text-soft tabular-nums">
                      {limited(each)
                        .slice(0, 1)
                        .map((row) => `${row.show(row.used)} of ${row.show(row.limit)}`)}
                    </span>
                  </div>
                  <Bars budget={each} />
                  {each.waiting > 0 && <p className="text-xs text-ask">{each.waiting} wait for this budget.</p>}
                </div>
              ))}
            </div>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function Bars({ budget, quiet = false }: { budget: Api<"BudgetResource">; quiet?: boolean }) {
  if (quiet) return null;
  return limited(budget).map((row) => (
    <Meter
      key={row.name}
      label={`${row.label}, ${row.show(row.used)} of ${row.show(row.limit)} used by ${budget.job_type ?? "today"}`}
      used={row.used}
      reserved={budget.reserved[row.name] ?? 0}
      limit={row.limit}
    />
  ));
}

/** Said on top while the server leaves something out. */
export function DegradationNote() {
  const { data } = useQuery(degradation);
  if (data === undefined || data.tier === "NORMAL") return null;
  const words = {
    SHED: "The server has too much to do and leaves out what can wait.",
    FINISH: "The server finishes what runs, and begins nothing new.",
    READ_ONLY: "The server can be looked at only: it takes no jobs and changes nothing.",
  };
  return (
    <div role="status" className="mb-4 flex gap-2 rounded-lg border border-line bg-ask-soft p-3 text-ask">
      <TriangleAlert aria-hidden size={16} className="mt-0.5 shrink-0" />
      <p className="min-w-0 break-words">
        {words[data.tier]} {data.reason} <code>atta degrade</code> shows and sets it.
      </p>
    </div>
  );
}
