import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { allDefinitions, storedVersion, validate } from "../../api/definitions";
import { useMay } from "../../app/caller";
import { Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { ScheduleRow } from "./row";

type Definition = Api<"DefinitionResource">;

/** A schedule as the server explains it. */
export interface Explained {
  words: string | undefined;
  /** The next runs, as the clock shows them where the schedule is. */
  next: readonly string[];
}

export function SchedulesPage() {
  const list = useQuery({
    queryKey: ["live", "schedules"],
    queryFn: async () => {
      const found = await allDefinitions();
      // What runs next comes first; what does not run comes last.
      const at = (each: Definition) =>
        each.enabled && each.next_run_at ? Date.parse(each.next_run_at) : Number.POSITIVE_INFINITY;
      return found
        .filter((each) => each.schedule.length > 0)
        .sort((a, b) => (at(a) === at(b) ? a.job_type.localeCompare(b.job_type) : at(a) - at(b)));
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
  const { source } = await storedVersion(job_type, version);
  const report = await validate(source, `${job_type}.yaml`);
  return { words: report.schedule ?? undefined, next: report.next_runs };
}

function Schedules({ definitions }: { definitions: Definition[] }) {
  const may = useMay()("submitter");
  const explained = useQueries({
    queries: definitions.map((each) => ({
      // Anew when it has run: then the next times are others.
      queryKey: ["schedule", each.job_type, each.version, each.next_run_at],
      enabled: may,
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
  return (
    <Panel flush title={definitions.length === 1 ? "One definition" : `${definitions.length} definitions`}>
      <Table label="Schedules" head={["Definition", "When", "Next run", "Last job", ...(may ? ["Actions"] : [])]}>
        {definitions.map((each, index) => (
          <ScheduleRow key={each.job_type} definition={each} explained={explained[index]?.data} />
        ))}
      </Table>
    </Panel>
  );
}
