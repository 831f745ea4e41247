import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type Api, api, data } from "../../api/client";
import { useMay } from "../../app/caller";
import { confirm } from "../../ui/confirm";
import { Button, Cell } from "../../ui/kit";
import { Badge, StateBadge } from "../../ui/state";
import { Time } from "../../ui/time";
import { toast } from "../../ui/toast";
import { EnableButton } from "../definitions/enable";
import type { Explained } from "./index";

export function ScheduleRow({
  definition,
  explained,
}: {
  definition: Api<"DefinitionResource">;
  explained: Explained | undefined;
}) {
  const { job_type, enabled, degraded, schedule, next_run_at } = definition;
  const navigate = useNavigate();
  const may = useMay();
  const last = useQuery({
    queryKey: ["jobs", "latest", job_type],
    queryFn: async () => {
      const page = await data(api.GET("/api/v1/jobs", { params: { query: { job_type, limit: 1 } } }));
      return page.items[0] ?? null;
    },
  });
  const runNow = async () => {
    let id = "";
    const done = await confirm({
      title: `Run ${job_type} now?`,
      body: "A job is submitted beside the schedule, with the params as the definition has them. The schedule stays as it is.",
      action: "Run now",
      run: async () => {
        const job = await data(api.POST("/api/v1/jobs", { params: {}, body: { job_type } }));
        id = job.job_id;
      },
    });
    if (!done) return;
    toast.ok(`${job_type} runs.`);
    void navigate({ to: "/jobs/$id", params: { id } });
  };
  return (
    <tr>
      <Cell>
        <Link
          to="/definitions/$type"
          params={{ type: job_type }}
          className="font-medium break-words text-accent underline"
        >
          {job_type}
        </Link>
        {degraded && (
          <p className="mt-1 max-w-prose text-xs break-words text-bad">
            <b className="font-medium">Cannot run:</b> {degraded}
          </p>
        )}
      </Cell>
      <Cell>
        {explained?.words && <p className="max-w-prose">{explained.words}</p>}
        <ul className="font-mono text-xs text-soft">
          {schedule.map((line) => (
            <li key={line} className="break-all">
              {line}
            </li>
          ))}
        </ul>
      </Cell>
      <Cell className="whitespace-nowrap">
        {!enabled ? (
          <Badge tone="ask">Disabled</Badge>
        ) : next_run_at ? (
          <Time at={next_run_at} className="font-medium" />
        ) : (
          <span className="text-soft">never</span>
        )}
        {enabled && explained !== undefined && (
          <ol aria-label={`Next runs of ${job_type}`} className="text-xs text-soft tabular-nums">
            {explained.next.slice(0, 4).map((at) => (
              <li key={at}>{at}</li>
            ))}
          </ol>
        )}
      </Cell>
      <Cell>
        {last.data ? (
          <Link
            to="/jobs/$id"
            params={{ id: last.data.job_id }}
            className="inline-flex flex-wrap items-center gap-1.5 rounded"
            aria-label={`Last job of ${job_type}`}
          >
            <StateBadge state={last.data.state} />
            <Time at={last.data.created_at} className="text-xs whitespace-nowrap text-soft" />
          </Link>
        ) : (
          <span className="text-soft">{last.data === null ? "none yet" : ""}</span>
        )}
      </Cell>
      {may("submitter") && (
        <Cell>
          <div className="flex gap-1">
            <Button aria-label={`Run ${job_type} now`} disabled={!enabled} onClick={() => void runNow()}>
              Run now…
            </Button>
            <EnableButton definition={definition} look="plain" />
          </div>
        </Cell>
      )}
    </tr>
  );
}
