import { useNavigate } from "@tanstack/react-router";
import { Ban, Copy, Pause, Play, RefreshCw, RotateCcw } from "lucide-react";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { limited, raised } from "../../app/budget";
import { BudgetFields } from "../../app/budget-fields";
import { NotYours, useMay } from "../../app/caller";
import { useKeys } from "../../app/keys";
import { cn } from "../../ui/cn";
import { Dialog, DialogForm } from "../../ui/dialog";
import { Check, Field, Select } from "../../ui/field";
import { Button, input } from "../../ui/kit";
import { toast } from "../../ui/toast";
import { type ActionName, allowedActions, asText, changedParams, consequences, startingPoints } from "./allowed";
import type { Job } from "./job";

const looks: Record<ActionName, { label: string; title: string; verb: string; done: string; icon: typeof Ban }> = {
  cancel: {
    label: "Cancel",
    title: "Cancel this job?",
    verb: "Cancel the job",
    done: "The job is being cancelled.",
    icon: Ban,
  },
  pause: { label: "Pause", title: "Pause this job?", verb: "Pause", done: "The job is paused.", icon: Pause },
  resume: { label: "Resume", title: "Let this job go on?", verb: "Resume", done: "The job goes on.", icon: Play },
  retry: {
    label: "Retry",
    title: "Try what failed again?",
    verb: "Retry",
    done: "The job begins another attempt.",
    icon: RefreshCw,
  },
  rerun: {
    label: "Rerun from",
    title: "Run again from a task?",
    verb: "Rerun",
    done: "The job runs again.",
    icon: RotateCcw,
  },
  resubmit: {
    label: "Run anew",
    title: "Submit this job again?",
    verb: "Submit a new job",
    done: "A new job was submitted.",
    icon: Copy,
  },
};

const phrases: Record<ActionName, string> = {
  cancel: "cancel it",
  pause: "pause it",
  resume: "resume it",
  retry: "retry it",
  rerun: "rerun it",
  resubmit: "run it anew",
};

/** What opens each, and how the list of keys and the palette call it. */
const keys: Record<ActionName, [keys: string, label: string]> = {
  cancel: ["a c", "Cancel this job"],
  pause: ["a p", "Pause this job"],
  resume: ["a e", "Resume this job"],
  retry: ["a r", "Retry what failed"],
  rerun: ["a f", "Rerun from a task"],
  resubmit: ["a s", "Run this job anew"],
};

const labelOf = (action: ActionName, job: Job) =>
  action === "cancel" && job.state === "CANCELLING" ? "Cancel this job by force" : keys[action][1];

/** An action that somebody has chosen; `from` is the task at which a rerun begins. */
export interface Chosen {
  action: ActionName;
  from?: string;
}

/** The buttons for what can be done now. */
export function ActionBar({ job, onChoose }: { job: Job; onChoose: (chosen: Chosen) => void }) {
  const may = useMay();
  const actions = allowedActions(job);
  useKeys(
    "This job",
    may("operator")
      ? actions.map((action) => ({
          keys: keys[action][0],
          label: labelOf(action, job),
          run: () => onChoose({ action }),
        }))
      : [],
  );
  if (!may("operator")) {
    const named = new Intl.ListFormat("en", { type: "disjunction" }).format(actions.map((action) => phrases[action]));
    return <NotYours needed="operator" to={named} className="max-w-sm text-soft" />;
  }
  return actions.map((action, index) => {
    const { label, icon: Icon } = looks[action];
    const force = action === "cancel" && job.state === "CANCELLING";
    const first = index === 0 && (action === "retry" || action === "resume");
    return (
      <Button
        key={action}
        look={action === "cancel" ? "danger" : first ? "primary" : "plain"}
        onClick={() => onChoose({ action })}
      >
        <Icon aria-hidden size={14} /> {force ? "Cancel by force" : label}…
      </Button>
    );
  });
}

/** Says what an action does, asks for what it needs, and does it. */
export function ActionDialog({ job, chosen, onClose }: { job: Job; chosen: Chosen; onClose: () => void }) {
  const { action } = chosen;
  const { title, verb, done } = looks[action];
  const navigate = useNavigate();
  const [reason, setReason] = useState("");
  const [from, setFrom] = useState(chosen.from ?? "");
  const [latest, setLatest] = useState(false);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [limits, setLimits] = useState<Record<string, string>>({});
  const { params, wrong } = changedParams(job.params, texts);
  const changed = Object.keys(params).length > 0;
  const force = action === "cancel" && job.state === "CANCELLING";
  const rows = action === "resume" && job.budget ? limited(job.budget) : [];
  const budget = raised(rows, limits);
  const missing = wrong.length > 0 || (action === "rerun" && from === "") || budget === undefined;

  const act = async () => {
    const path = { params: { path: { id: job.job_id } } };
    const withParams = changed ? { params } : {};
    const withVersion = latest ? { latest: true } : {};
    let answer: Api<"SubmitResponse">;
    if (action === "cancel") {
      const body = { ...(reason.trim() === "" ? {} : { reason: reason.trim() }), ...(force ? { force: true } : {}) };
      answer = await data(api.POST("/api/v1/jobs/{id}/cancel", { ...path, body }));
    } else if (action === "pause") answer = await data(api.POST("/api/v1/jobs/{id}/pause", path));
    else if (action === "resume") {
      const body = { ...withParams, ...(budget && Object.keys(budget).length > 0 ? { budget } : {}) };
      answer = await data(api.POST("/api/v1/jobs/{id}/resume", { ...path, body }));
    } else if (action === "retry") answer = await data(api.POST("/api/v1/jobs/{id}/retry", path));
    else if (action === "rerun")
      answer = await data(
        api.POST("/api/v1/jobs/{id}/rerun", { ...path, body: { from, ...withParams, ...withVersion } }),
      );
    else
      answer = await data(api.POST("/api/v1/jobs/{id}/resubmit", { ...path, body: { ...withParams, ...withVersion } }));
    const fresh = answer.job_id !== job.job_id;
    toast.ok(fresh && action === "rerun" ? "A new job runs it again." : done);
    onClose();
    if (fresh) void navigate({ to: "/jobs/$id", params: { id: answer.job_id } });
  };

  return (
    <Dialog title={force ? "Cancel by force?" : title} onClose={onClose}>
      <ul className="list-disc pl-5 text-soft">
        {consequences(action, job, from === "" ? undefined : from).map((each) => (
          <li key={each} className="break-words">
            {each}
          </li>
        ))}
      </ul>
      <DialogForm
        action={action === "rerun" && (changed || latest) ? "Rerun as a new job" : verb}
        keep="Leave it"
        danger={action === "cancel"}
        ready={!missing}
        send={act}
        onClose={onClose}
      >
        {action === "cancel" && !force && (
          <Field label="Why (if you like)">
            {(ids) => (
              <textarea
                {...ids}
                className={cn(input, "min-h-14")}
                value={reason}
                onChange={(event) => setReason(event.target.value)}
              />
            )}
          </Field>
        )}
        {action === "rerun" && (
          <Select
            label="From the task"
            value={from}
            onChange={setFrom}
            options={[["", "Choose a task"], ...startingPoints(job).map((each) => each.task_type)]}
          />
        )}
        {rows.length > 0 && (
          <fieldset className="flex flex-col gap-2">
            <legend className="mb-1 font-medium">A larger budget (if you like)</legend>
            <BudgetFields rows={rows} texts={limits} onTexts={setLimits} />
            <p className="text-xs text-soft">These are limits for the whole job, not what is added to them.</p>
          </fieldset>
        )}
        {(action === "rerun" || action === "resubmit") && (
          <Check checked={latest} onChange={setLatest}>
            With the newest version of {job.job_type}
          </Check>
        )}
        {(action === "resume" || action === "rerun" || action === "resubmit") && Object.keys(job.params).length > 0 && (
          <Params job={job} texts={texts} wrong={wrong} changed={Object.keys(params)} onChange={setTexts} />
        )}
      </DialogForm>
    </Dialog>
  );
}

function Params({
  job,
  texts,
  wrong,
  changed,
  onChange,
}: {
  job: Job;
  texts: Record<string, string>;
  wrong: string[];
  changed: string[];
  onChange: (texts: Record<string, string>) => void;
}) {
  return (
    <details>
      <summary className="min-h-target cursor-pointer font-medium">
        Change parameters{changed.length > 0 && <span className="text-soft"> ({changed.join(", ")})</span>}
      </summary>
      <div className="mt-2 flex flex-col gap-2">
        {Object.entries(job.params).map(([name, value]) => {
          const bad = wrong.includes(name);
          return (
            <label key={name} className="grid grid-cols-[9rem_1fr] items-center gap-2 max-sm:grid-cols-1">
              <span className="truncate text-soft" title={name}>
                {name}
              </span>
              <span className="min-w-0">
                <input
                  className={cn(input, "w-full", changed.includes(name) && "border-accent", bad && "border-bad")}
                  aria-invalid={bad}
                  value={texts[name] ?? asText(value)}
                  onChange={(event) => onChange({ ...texts, [name]: event.target.value })}
                />
                {bad && <span className="text-xs text-bad">This has to be JSON, such as 3, true or "text".</span>}
              </span>
            </label>
          );
        })}
      </div>
    </details>
  );
}
