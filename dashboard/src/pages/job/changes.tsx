import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { Empty, input, Loaded, money } from "../../ui/kit";
import { Changed } from "./agent-tab";
import { looksLikeDiff } from "./diff";
import { attemptsOf, type Job, type SearchChange } from "./job";
import { Preview } from "./preview";
import { artifactsQuery } from "./requests";

type Artifact = Api<"JobArtifactResource">;

/** What the job has changed, in one place: the newest patch, then what each agent committed. */
export function Changes({ job, onSearch }: { job: Job; onSearch: (change: SearchChange) => void }) {
  const artifacts = useQuery(artifactsQuery(job.job_id));
  const agents = attemptsOf(job)
    .filter(({ attempt }) => attempt.agent && attempt.agent.commits.length + attempt.agent.files_changed.length > 0)
    .reverse();
  return (
    <div className="flex flex-col gap-5 p-4">
      <Loaded query={artifacts}>
        {(items) => {
          const patches = items.filter((each) => looksLikeDiff(each.name) && each.size > 0).reverse();
          if (patches.length > 0) return <Patches jobId={job.job_id} patches={patches} />;
          if (agents.length > 0) return <p className="text-soft">No task has kept a patch among its artifacts.</p>;
          return (
            <Empty title="Nothing was changed">
              Agents have committed nothing{job.agents ? "" : " (none took part)"}, and no task has kept a patch (a file
              that ends in .diff or .patch).
            </Empty>
          );
        }}
      </Loaded>
      {agents.map(({ task, attempt }) => (
        <section key={attempt.number}>
          <h3 className="mb-1 flex flex-wrap items-baseline gap-x-2">
            <button
              type="button"
              className="min-h-target font-semibold text-accent underline underline-offset-2"
              onClick={() =>
                onSearch({ task: task.task_type, attempt: attempt.number, tab: "agent", compare: undefined })
              }
            >
              {task.task_type}
            </button>
            <span className="text-xs text-soft">
              attempt {attempt.number} · {money(attempt.agent?.cost_usd)}
            </span>
          </h3>
          {attempt.agent && <Changed agent={attempt.agent} />}
        </section>
      ))}
    </div>
  );
}

function Patches({ jobId, patches }: { jobId: string; patches: Artifact[] }) {
  const [chosen, setChosen] = useState<string>();
  const key = (each: Artifact) => `${each.attempt} ${each.name}`;
  const shown = patches.find((each) => key(each) === chosen) ?? patches[0];
  if (!shown) return null;
  return (
    <div className="flex flex-col gap-2">
      <label className="flex flex-wrap items-center gap-2">
        Patch
        <select className={input} value={key(shown)} onChange={(event) => setChosen(event.target.value)}>
          {patches.map((each) => (
            <option key={key(each)} value={key(each)}>
              {each.name} of {each.task_type}, attempt {each.attempt}
            </option>
          ))}
        </select>
      </label>
      <Preview key={key(shown)} jobId={jobId} attempt={shown.attempt} file={shown} />
    </div>
  );
}
