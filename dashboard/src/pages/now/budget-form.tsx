import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { jobActions } from "../../app/actions";
import { jobDetail } from "../../app/overview";
import { confirm } from "../../ui/confirm";
import { Button, input } from "../../ui/kit";
import { type Amount, amounts, tight } from "./budget";

/** Gives a job that has used up its budget a larger one, so that it goes on. */
export function BudgetForm({ job }: { job: Api<"JobSummary"> }) {
  const detail = useQuery(jobDetail(job.job_id));
  const budget = detail.data?.budget;
  if (!budget) return <p className="text-soft">{detail.isError ? detail.error.message : "…"}</p>;
  return <Fields key={JSON.stringify(budget.limits)} job={job} rows={tight(budget)} />;
}

function Fields({ job, rows }: { job: Api<"JobSummary">; rows: Amount[] }) {
  const [values, setValues] = useState<Record<string, string>>({});
  const chosen = amounts(rows, values);
  return (
    <form
      className="flex flex-wrap items-end gap-x-3 gap-y-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (chosen === undefined) return;
        const told = rows.map((row) => `${row.show(chosen[row.name] ?? row.limit)} instead of ${row.show(row.limit)}`);
        void confirm({
          title: "Give it more, and go on?",
          body: `The agents of ${job.job_type} may use ${told.join(", ")} in all, and go on in their sessions at once. Money that they use is not given back.`,
          action: "Extend and resume",
          run: () => jobActions.resume(job.job_id, chosen),
          done: "The job goes on with the larger budget.",
        });
      }}
    >
      {rows.map((row) => (
        <label key={row.name} className="flex flex-col gap-0.5">
          <span className="text-xs text-soft">
            {row.label}, {row.show(row.used)} of {row.show(row.limit)} used
          </span>
          <input
            className={`${input} w-32 tabular-nums`}
            type="number"
            step="any"
            min={row.limit}
            required
            value={values[row.name] ?? String(row.suggested)}
            onChange={(event) => setValues({ ...values, [row.name]: event.target.value })}
          />
        </label>
      ))}
      <Button type="submit" look="primary" disabled={chosen === undefined}>
        Extend and resume…
      </Button>
    </form>
  );
}
