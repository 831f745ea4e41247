import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type Api, api, data } from "../../api/client";
import { all, given } from "../../api/paged";
import { Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Time } from "../../ui/time";
import { type Coming, coming } from "./coming";
import { ScheduleRow } from "./row";

type Definition = Api<"DefinitionResource">;

/** A schedule as the server explains it. */
export interface Explained {
  words: string | undefined;
  next: readonly string[];
}

export function SchedulesPage() {
  const list = useQuery({
    queryKey: ["live", "schedules"],
    queryFn: async () => {
      const found = await all((cursor) =>
        data(api.GET("/api/v1/definitions", { params: { query: given({ cursor, limit: 500 }) } })),
      );
      return found.filter((each) => each.schedule.length > 0);
    },
    refetchOnWindowFocus: "always",
  });
  return (
    <>
      <PageHeader title="Schedules" lead="Definitions that start by themselves." />
      <Loaded query={list}>{(definitions) => <Schedules definitions={definitions} />}</Loaded>
    </>
  );
}

/** The words and the next runs of a version: what the server says when it checks its text. */
async function explain({ job_type, version }: Definition): Promise<Explained> {
  const { source } = await data(
    api.GET("/api/v1/definitions/{job_type}/versions/{version}", { params: { path: { job_type, version } } }),
  );
  const report = await data(
    api.POST("/api/v1/definitions:validate", {
      body: source,
      bodySerializer: (text) => text,
      headers: { "Content-Type": "application/yaml" },
    }),
  );
  return { words: report.schedule ?? undefined, next: report.next_runs };
}

function Schedules({ definitions }: { definitions: Definition[] }) {
  const explained = useQueries({
    queries: definitions.map((each) => ({
      // Anew when it has run: then the next times are others.
      queryKey: ["schedule", each.job_type, each.version, each.next_run_at],
      queryFn: () => explain(each),
      retry: false,
    })),
  });
  if (definitions.length === 0) {
    return (
      <Panel>
        <Empty title="Nothing is scheduled">
          <p>
            <code>cron_trigger: "30 2 * * 1-5"</code> in a{" "}
            <Link to="/definitions" className="text-accent underline">
              definition
            </Link>{" "}
            starts it every working day at half past two, <code>timezone</code> says where.
          </p>
        </Empty>
      </Panel>
    );
  }
  const soon = coming(
    definitions.flatMap((each, index) =>
      each.enabled ? [{ type: each.job_type, first: each.next_run_at, next: explained[index]?.data?.next ?? [] }] : [],
    ),
    10,
  );
  return (
    <div className="flex flex-col gap-4">
      <Panel flush title={definitions.length === 1 ? "One definition" : `${definitions.length} definitions`}>
        <Table label="Schedules" head={["Definition", "When", "Next run", "Last job", "Actions"]}>
          {definitions.map((each, index) => (
            <ScheduleRow key={each.job_type} definition={each} explained={explained[index]?.data} />
          ))}
        </Table>
      </Panel>
      <Panel title="Coming up" flush>
        <ComingUp runs={soon} />
      </Panel>
    </div>
  );
}

const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });

function ComingUp({ runs }: { runs: readonly Coming[] }) {
  if (runs.length === 0) return <Empty title="Nothing starts by itself">All schedules are disabled.</Empty>;
  return (
    <ol className="divide-y divide-line">
      {runs.map(({ at, type }) => {
        const date = new Date(at);
        return (
          <li key={`${at} ${type}`} className="flex flex-wrap items-baseline gap-x-4 px-4 py-1.5">
            <span className="w-52 whitespace-nowrap">
              {day.format(date)} <b className="font-medium">{hour.format(date)}</b>
            </span>
            <Link
              to="/definitions/$type"
              params={{ type }}
              className="min-w-0 flex-1 break-words text-accent underline"
            >
              {type}
            </Link>
            <Time at={at} className="text-soft" />
          </li>
        );
      })}
    </ol>
  );
}
