import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useMemo, useState } from "react";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { useMay } from "../../app/caller";
import { useStale } from "../../app/context";
import { ShowMore } from "../../ui/field";
import { Cell, Empty, input, Loaded, money, PageHeader, Panel, Table } from "../../ui/kit";
import { Badge, lookOf, StateBadge } from "../../ui/state";
import { Time } from "../../ui/time";
import { EnableButton } from "./enable";
import { byDefinition, type Runs } from "./runs";

/** How many of the latest jobs are looked at for the columns about runs. */
const looked = 500;
const day = 24 * 3600 * 1000;

export function DefinitionsPage() {
  const [filter, setFilter] = useState("");
  const may = useMay();
  const definitions = usePaged(["definitions", "list"], (cursor) =>
    data(api.GET("/api/v1/definitions", { params: { query: given({ cursor, limit: 200 }) } })),
  );
  const runs = useRuns();
  const costs = useCosts();
  const words = filter.trim().toLowerCase();

  return (
    <>
      <PageHeader title="Definitions" lead="What this server can do: each definition is a workflow, in versions.">
        <input
          type="search"
          aria-label="Filter definitions by name"
          placeholder="Filter by name"
          className={input}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
        {may("admin") && (
          <Link
            to="/definitions/+new"
            className="inline-flex min-h-8 items-center gap-1.5 rounded-md bg-accent px-3 py-1 text-sm font-medium text-on-accent hover:opacity-90"
          >
            <Plus aria-hidden size={16} /> New definition
          </Link>
        )}
      </PageHeader>
      <Loaded query={definitions}>
        {(all) => {
          const shown = all.filter(({ job_type }) => job_type.includes(words));
          if (all.length === 0)
            return (
              <Panel>
                <Empty title="There is no definition yet">
                  {may("admin") ? (
                    <>
                      Write one{" "}
                      <Link to="/definitions/+new" className="text-accent underline">
                        here
                      </Link>
                      , upload
                    </>
                  ) : (
                    "An admin can write one here, upload"
                  )}{" "}
                  a file with <code>atta definitions upload FILE</code>, or let <code>atta setup github</code> bring
                  those that turn issues into pull requests.
                </Empty>
              </Panel>
            );
          return (
            <Panel flush>
              {shown.length === 0 ? (
                <Empty title="No definition has that in its name" />
              ) : (
                <Table
                  label="Definitions"
                  head={[
                    "Name",
                    "Schedule",
                    "Latest runs",
                    "Last run",
                    "Cost, 30 days",
                    <span key="do" className="sr-only">
                      Actions
                    </span>,
                  ]}
                >
                  {shown.map((each) => (
                    <Row
                      key={each.job_type}
                      definition={each}
                      runs={runs?.get(each.job_type)}
                      known={runs !== undefined}
                      cost={costs?.get(each.job_type)}
                    />
                  ))}
                </Table>
              )}
              <ShowMore query={definitions} />
            </Panel>
          );
        }}
      </Loaded>
    </>
  );
}

function Row({
  definition,
  runs,
  known,
  cost,
}: {
  definition: Api<"DefinitionResource">;
  runs: Runs | undefined;
  known: boolean;
  cost: Api<"OutcomeGroup"> | undefined;
}) {
  const { job_type, semver, version, versions, enabled, degraded, schedule, next_run_at, warnings } = definition;
  const last = runs?.jobs[0];
  const may = useMay();
  return (
    <tr>
      <Cell className="min-w-48">
        <Link to="/definitions/$type" params={{ type: job_type }} className="font-medium break-all hover:underline">
          {job_type}
        </Link>
        <div className="mt-0.5 flex flex-wrap items-center gap-1.5 text-xs text-soft">
          <span className="font-mono" title={`Version ${version}`}>
            {semver ?? version.slice(0, 8)}
          </span>
          <span>
            {versions} {versions === 1 ? "version" : "versions"}
          </span>
          {!enabled && <Badge tone="idle">Disabled</Badge>}
          {degraded && (
            <Badge tone="bad" title={degraded}>
              Degraded
            </Badge>
          )}
          {warnings.length > 0 && (
            <Badge tone="ask" title={warnings.map((each) => each.message).join("\n")}>
              {warnings.length} {warnings.length === 1 ? "warning" : "warnings"}
            </Badge>
          )}
        </div>
      </Cell>
      <Cell className="whitespace-nowrap">
        {schedule.length === 0 ? (
          <span className="text-soft">–</span>
        ) : (
          schedule.map((line) => (
            <code key={line} className="block text-xs">
              {line}
            </code>
          ))
        )}
        {next_run_at && (
          <div className="text-xs text-soft">
            next <Time at={next_run_at} />
          </div>
        )}
      </Cell>
      <Cell>{runs ? <RunBars runs={runs} /> : <None known={known} />}</Cell>
      <Cell className="whitespace-nowrap">
        {last ? (
          <Link to="/jobs/$id" params={{ id: last.job_id }} className="inline-flex flex-col items-start gap-0.5">
            <StateBadge state={last.state} {...(last.reason ? { title: last.reason } : {})} />
            <Time at={last.created_at} className="text-xs text-soft" />
          </Link>
        ) : (
          <None known={known} />
        )}
      </Cell>
      <Cell className="whitespace-nowrap tabular-nums">
        {cost ? (
          <span title={cost.cost_unknown > 0 ? `At least: the cost of ${cost.cost_unknown} attempts is not known` : ""}>
            {cost.cost_unknown > 0 && "≥ "}
            {money(cost.cost_usd)}
            <span className="block text-xs text-soft">
              {cost.jobs} {cost.jobs === 1 ? "job" : "jobs"}
            </span>
          </span>
        ) : (
          <span className="text-soft">–</span>
        )}
      </Cell>
      <Cell className="text-right whitespace-nowrap">
        {enabled && may("submitter") && (
          <Link
            to="/definitions/$type"
            params={{ type: job_type }}
            search={{ tab: "run" }}
            aria-label={`Run ${job_type}`}
            className="inline-flex min-h-8 items-center rounded-md px-3 py-1 text-sm font-medium text-accent hover:bg-raised"
          >
            Run
          </Link>
        )}
        <EnableButton definition={definition} />
      </Cell>
    </tr>
  );
}

function None({ known }: { known: boolean }) {
  return (
    <span className="text-soft" title={known ? `None among the latest ${looked} jobs` : undefined}>
      –
    </span>
  );
}

const bars = { ok: "bg-ok", bad: "bg-bad", run: "bg-run animate-pulse", ask: "bg-ask", idle: "bg-idle" };

/** The states of the latest runs, oldest first, and how many of them went well. */
function RunBars({ runs }: { runs: Runs }) {
  const shown = runs.jobs.slice(0, 12).toReversed();
  const rate = runs.success === undefined ? undefined : `${Math.round(runs.success * 100)} %`;
  return (
    <span className="inline-flex items-center gap-2">
      <span aria-hidden className="flex h-5 items-end gap-0.5">
        {shown.map((job) => {
          const { tone, word } = lookOf(job.state);
          // Height too, so that it is not told by colour alone.
          const height = tone === "ok" ? "h-5" : tone === "bad" ? "h-2.5" : "h-3.5";
          return <span key={job.job_id} title={word} className={`w-1.5 rounded-xs ${height} ${bars[tone]}`} />;
        })}
      </span>
      <span className="text-xs whitespace-nowrap text-soft">
        {rate === undefined ? (
          "none has ended"
        ) : (
          <span title="Completed, of those that ended by themselves">{rate}</span>
        )}
        <span className="sr-only"> of the latest {runs.jobs.length} completed</span>
      </span>
    </span>
  );
}

/** The latest jobs by definition. */
function useRuns(): Map<string, Runs> | undefined {
  useStale(["definitions", "runs"]);
  const { data: jobs } = useQuery({
    queryKey: ["definitions", "runs"],
    queryFn: () => data(api.GET("/api/v1/jobs", { params: { query: { limit: looked } } })),
    placeholderData: keepPreviousData,
  });
  return useMemo(() => jobs && byDefinition(jobs.items), [jobs]);
}

/** What definitions have cost lately. */
function useCosts(): Map<string, Api<"OutcomeGroup">> | undefined {
  useStale(["definitions", "costs"], (event) => event.kind === "job_finished");
  const [since] = useState(() => new Date(Date.now() - 30 * day).toISOString());
  const { data: outcomes } = useQuery({
    queryKey: ["definitions", "costs"],
    queryFn: () => data(api.GET("/api/v1/outcomes", { params: { query: { by: "definition", since, limit: 500 } } })),
  });
  return useMemo(
    () => outcomes && new Map(outcomes.groups.flatMap((group) => (group.key == null ? [] : [[group.key, group]]))),
    [outcomes],
  );
}
