import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { lazy, Suspense } from "react";
import { type Api, api, data } from "../../api/client";
import { save } from "../../api/files";
import { given } from "../../api/paged";
import { useStale } from "../../app/context";
import { useFilters } from "../../app/filters";
import { FilterBar, Select, TextField } from "../../ui/field";
import { Busy, Button, count, Empty, Loaded, PageHeader, Panel } from "../../ui/kit";
import { toast } from "../../ui/toast";
import { csv } from "./csv";
import { Figures } from "./figures";
import { Groups } from "./groups";
import { Flaky, Reasons } from "./reasons";
import { bys, ranges, sinceOf } from "./words";

const Days = lazy(() => import("./days"));

type By = Api<"OutcomesBy">;

/** The server gives no more groups at once. */
const mostInFile = 10_000;

export function OutcomesPage() {
  const [filters, filter] = useFilters(["range", "by", "definition", "repository", "agent", "model"]);
  const range = filters.range in ranges ? (filters.range as keyof typeof ranges) : "30d";
  const by = filters.by in bys ? (filters.by as By) : "definition";
  const { definition, repository, agent, model } = filters;
  const asked = { definition, repository, agent, model };
  const ask = (groups: By, limit: number) => ({
    queryKey: ["outcomes", range, groups, definition, repository, agent, model],
    queryFn: () =>
      data(
        api.GET("/api/v1/outcomes", {
          params: { query: given({ ...asked, since: sinceOf(range, Date.now()), by: groups, limit }) },
        }),
      ),
    placeholderData: keepPreviousData,
  });
  const groups = useQuery(ask(by, 200));
  const days = useQuery(ask("day", 366));
  const file = useMutation({
    mutationFn: ask(by, mostInFile).queryFn,
    onSuccess: (result) => {
      save(new Blob([csv(by, result)], { type: "text/csv" }), `atta-outcomes-by-${by}-${range}.csv`);
      if (result.more_groups > 0) {
        toast.bad("The file has not all groups", `${count(result.more_groups)} that cost less are left out.`);
      }
    },
    onError: (error) => toast.bad("The file could not be made", error),
  });
  // These figures change when jobs end.
  useStale(["outcomes"], (event) => event.kind === "job_finished");

  const filtered = Object.values(asked).some((value) => value !== "");
  return (
    <>
      <PageHeader title="Outcomes" lead="What the work of agents has cost, and what came of it.">
        <Button disabled={groups.data === undefined || file.isPending} onClick={() => file.mutate()}>
          <Download aria-hidden size={15} /> CSV
        </Button>
      </PageHeader>
      <FilterBar label="Which jobs">
        <Select
          label="Submitted"
          value={range}
          onChange={(value) => filter({ range: value })}
          options={Object.entries(ranges).map(([key, { text }]) => [key, text] as const)}
        />
        <TextField label="Definition" value={definition} onText={(text) => filter({ definition: text })} />
        <TextField label="Repository" value={repository} onText={(text) => filter({ repository: text })} />
        <TextField label="Agent" value={agent} onText={(text) => filter({ agent: text })} />
        <TextField label="Model" value={model} onText={(text) => filter({ model: text })} />
        {filtered && (
          <Button look="quiet" onClick={() => filter({ definition: "", repository: "", agent: "", model: "" })}>
            All jobs
          </Button>
        )}
      </FilterBar>
      <Loaded query={groups}>
        {(result) =>
          result.total.jobs === 0 ? (
            <Panel>
              <Empty title={filtered ? "No job is like that" : "There is nothing to count yet"}>
                <p>
                  Jobs with agents, and those whose definition says with <code>outcome</code> what it is to achieve, are
                  counted from their first task on. {range !== "all" && "Older ones appear with another time above."}
                </p>
              </Empty>
            </Panel>
          ) : (
            <div className="flex flex-col gap-4">
              <Figures total={result.total} />
              <Panel title="By day">
                {days.data === undefined ? (
                  <Loaded query={days}>{() => null}</Loaded>
                ) : (
                  <Suspense fallback={<Busy />}>
                    <Days groups={days.data.groups} />
                  </Suspense>
                )}
              </Panel>
              <Groups
                by={by}
                result={result}
                choose={(value) => filter({ by: value })}
                narrow={(key) => filter(by === "day" || by === "job" ? {} : { [by]: key })}
              />
              <div className="grid gap-4 lg:grid-cols-2">
                <Reasons total={result.total} />
                <Flaky tasks={result.flaky_tasks} />
              </div>
            </div>
          )
        }
      </Loaded>
    </>
  );
}
