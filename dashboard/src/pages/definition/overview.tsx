import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type Api, api, data } from "../../api/client";
import { validate } from "../../api/definitions";
import { useMay } from "../../app/caller";
import { GraphView } from "../../graph";
import { Busy, Cell, Empty, Loaded, money, Panel, Table } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { Time, Took } from "../../ui/time";
import { useDrawn } from "./drawn";

/** What a definition does, when it runs, and what became of it lately. */
export function Overview({
  definition,
  found: { source, version, graph: known },
}: {
  definition: Api<"DefinitionResource">;
  found: Api<"VersionResource">;
}) {
  const { job_type } = definition;
  const graph = useDrawn(source, known, true);
  const may = useMay();
  // Schedules in words are the validator's. Those who may not ask it see the lines.
  const report = useQuery({
    queryKey: ["definitions", "report", job_type, version],
    enabled: definition.schedule.length > 0 && may("submitter"),
    retry: false,
    queryFn: () => validate(source, `${job_type}.yaml`),
  });
  const jobs = useQuery({
    queryKey: ["jobs", "of-definition", job_type],
    queryFn: () => data(api.GET("/api/v1/jobs", { params: { query: { job_type, limit: 10 } } })),
  });
  const outcomes = useQuery({
    queryKey: ["live", "outcomes-of-definition", job_type],
    queryFn: () => data(api.GET("/api/v1/outcomes", { params: { query: { definition: job_type } } })),
  });
  return (
    <div className="grid gap-4 xl:grid-cols-[2fr_1fr]">
      <Panel title="Tasks" flush className="xl:col-span-2">
        <div className="h-[26rem] overflow-hidden rounded-b-lg">
          {graph ? <GraphView graph={graph} label={`Tasks of ${job_type}`} /> : <Busy label="Drawing" />}
        </div>
      </Panel>
      <Panel title="Latest jobs" flush>
        <Loaded query={jobs}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="It has not run yet">
                {may("submitter") && (
                  <>
                    <Link
                      to="/definitions/$type"
                      params={{ type: job_type }}
                      search={{ tab: "run" }}
                      className="text-accent underline"
                    >
                      Run it
                    </Link>{" "}
                    with parameters of your own.
                  </>
                )}
              </Empty>
            ) : (
              <Table label="Latest jobs" head={["State", "Job", "Submitted", "Took"]}>
                {items.map((job) => (
                  <tr key={job.job_id}>
                    <Cell>
                      <StateBadge state={job.state} />
                    </Cell>
                    <Cell className="min-w-40">
                      <Link
                        to="/jobs/$id"
                        params={{ id: job.job_id }}
                        className="line-clamp-2 break-words hover:underline"
                      >
                        {job.description || <span className="font-mono text-xs">{job.job_id}</span>}
                      </Link>
                      {job.reason && <div className="line-clamp-2 text-xs break-words text-soft">{job.reason}</div>}
                    </Cell>
                    <Cell className="whitespace-nowrap">
                      <Time at={job.created_at} />
                    </Cell>
                    <Cell className="whitespace-nowrap tabular-nums">
                      {job.started_at ? <Took from={job.started_at} until={job.finished_at} /> : "–"}
                    </Cell>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
      </Panel>
      <div className="flex min-w-0 flex-col gap-4">
        {definition.schedule.length > 0 && (
          <Panel title="Schedule">
            {report.data?.schedule && <p className="mb-2 break-words">{report.data.schedule}</p>}
            {definition.schedule.map((line) => (
              <code key={line} className="block text-xs">
                {line}
              </code>
            ))}
            {!definition.enabled && <p className="mt-2 text-soft">It rests: the definition is disabled.</p>}
            {definition.next_run_at && (
              <p className="mt-2">
                Next run <Time at={definition.next_run_at} />
              </p>
            )}
            {report.data && report.data.next_runs.length > 0 && (
              <ul className="mt-2 text-sm text-soft">
                {report.data.next_runs.map((each) => (
                  <li key={each}>{each}</li>
                ))}
              </ul>
            )}
          </Panel>
        )}
        <Panel title="What came of it">
          <Loaded query={outcomes}>
            {({ total }) =>
              total.jobs === 0 ? (
                <p className="text-soft">Costs and results are counted for definitions with agents or an outcome.</p>
              ) : (
                <dl className="grid grid-cols-[1fr_auto] gap-x-4 gap-y-1 tabular-nums">
                  <Figure name="Jobs" value={total.jobs} />
                  <Figure name="Pull requests" value={total.pull_requests} />
                  <Figure name="Merged" value={total.merged} />
                  <Figure name="Left to somebody" value={total.needs_human} />
                  <Figure name="Failed" value={total.failed} />
                  <Figure name="Cost" value={`${total.cost_unknown > 0 ? "≥ " : ""}${money(total.cost_usd)}`} />
                  <Figure name="Cost per merge" value={money(total.cost_per_merged_usd)} />
                </dl>
              )
            }
          </Loaded>
        </Panel>
      </div>
    </div>
  );
}

function Figure({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <>
      <dt className="text-soft">{name}</dt>
      <dd className="text-right">{value}</dd>
    </>
  );
}
