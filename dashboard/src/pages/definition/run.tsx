import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { type Api, ApiError, api, data } from "../../api/client";
import { Select, TextField } from "../../ui/field";
import { Button, ErrorBox, Panel } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { ParamFields } from "./param-fields";
import { paramsOf, readValues } from "./params";
import { definitionQuery } from "./version";

const priorities: Api<"Priority">[] = ["CRITICAL", "HIGH", "NORMAL", "LOW"];

/** What somebody has filled in. */
export interface Filled {
  /** The version that the form was made from. */
  made: Api<"VersionResource">;
  texts: Record<string, string>;
  more: { user_key: string; priority: string; description: string; scheduled_at: string };
}

const nothing: Omit<Filled, "made"> = {
  texts: {},
  more: { user_key: "", priority: "", description: "", scheduled_at: "" },
};

/** Submits a job with the parameters that the definition declares. */
export function RunForm({
  definition,
  found,
  filled,
  onFilled,
}: {
  definition: Api<"DefinitionResource">;
  found: Api<"VersionResource">;
  /** Absent as long as nothing was filled in. */
  filled: Filled | undefined;
  onFilled: (filled: Filled) => void;
}) {
  const queries = useQueryClient();
  // The form is made from one version. Nothing changes under somebody who fills it in: they are told of a newer one.
  const [opened] = useState(found);
  const form = filled ?? { ...nothing, made: opened };
  const { texts, more } = form;
  const { source, version } = form.made;
  const params = useMemo(() => paramsOf(source), [source]);
  const setMore = (more: Filled["more"]) => onFilled({ ...form, more });
  const [checked, setChecked] = useState(false);
  const [key, setKey] = useState(newKey);
  const { job_type } = definition;
  const outdated = definition.version !== version;

  const { values, problems } = readValues(params, texts);

  const submit = useMutation({
    mutationFn: async () => {
      if (!outdated) {
        const newest = await queries.fetchQuery({ ...definitionQuery(job_type), staleTime: 0 });
        // The form says so now; whoever wants this one presses once more.
        if (newest.version !== version) return undefined;
      }
      const body: Api<"SubmitRequest"> = {
        job_type,
        version,
        params: values,
        ...(more.user_key.trim() && { user_key: more.user_key.trim() }),
        ...(more.description.trim() && { description: more.description.trim() }),
        ...(more.scheduled_at && { scheduled_at: new Date(more.scheduled_at).toISOString() }),
        ...(more.priority && { priority: more.priority as Api<"Priority"> }),
      };
      return await data(api.POST("/api/v1/jobs", { body, params: { header: { "Idempotency-Key": key } } }));
    },
    // Pressed again after the answer was lost, it is one job. After an answer the next one is another.
    onSuccess: () => setKey(newKey()),
    onError: (error) => error instanceof ApiError && setKey(newKey()),
  });

  return (
    <form
      noValidate
      className="grid max-w-5xl gap-4 lg:grid-cols-[3fr_2fr]"
      onSubmit={(event) => {
        event.preventDefault();
        setChecked(true);
        if (problems.size > 0) {
          const first = params.find((each) => problems.has(each.name));
          event.currentTarget.querySelector<HTMLElement>(`[name="${CSS.escape(first?.name ?? "")}"]`)?.focus();
          return;
        }
        submit.mutate();
      }}
    >
      <Panel title="Parameters">
        <ParamFields
          params={params}
          texts={texts}
          problems={problems}
          strict={checked}
          onTexts={(texts) => onFilled({ ...form, texts })}
        />
      </Panel>
      <div className="flex min-w-0 flex-col gap-4">
        <Panel title="If you like">
          <div className="flex flex-col gap-3">
            <TextField
              label="Description"
              hint="Instead of the definition's own"
              value={more.description}
              onText={(description) => setMore({ ...more, description })}
            />
            <TextField
              label="Key"
              hint="While a job with this key runs, there is no second one"
              value={more.user_key}
              onText={(user_key) => setMore({ ...more, user_key })}
            />
            <Select
              label="Priority"
              value={more.priority}
              onChange={(priority) => setMore({ ...more, priority })}
              options={[["", "As the definition says"], ...priorities]}
            />
            <TextField
              type="datetime-local"
              label="Not before"
              hint={`In your time zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`}
              value={more.scheduled_at}
              onText={(scheduled_at) => setMore({ ...more, scheduled_at })}
            />
          </div>
        </Panel>
        <div className="flex flex-col gap-3">
          {!definition.enabled && <p className="text-ask">The definition is disabled: it takes no jobs.</p>}
          <div aria-live="polite">
            {outdated && (
              <div className="flex flex-wrap items-center gap-2 rounded-md border border-line bg-ask-soft p-3 text-ask">
                <span>
                  A newer version is there: {definition.semver ?? definition.version.slice(0, 8)}. This form is of the
                  one before, and runs that.
                </span>
                <Button
                  disabled={found.version !== definition.version}
                  onClick={() => onFilled({ ...form, made: found })}
                >
                  Take the newer one
                </Button>
              </div>
            )}
          </div>
          <Button type="submit" look="primary" disabled={submit.isPending || !definition.enabled}>
            {submit.isPending ? "Submitting…" : `Run ${job_type}`}
          </Button>
          <div aria-live="polite">
            {submit.isError && <ErrorBox error={submit.error} />}
            {submit.data && !submit.isPending && (
              <p className="flex flex-wrap items-center gap-2 rounded-md border border-line bg-ok-soft p-3">
                <StateBadge state={submit.data.state} />
                <span>There is a job:</span>
                <Link
                  to="/jobs/$id"
                  params={{ id: submit.data.job_id }}
                  className="font-mono text-xs break-all text-accent underline"
                >
                  {submit.data.job_id}
                </Link>
              </p>
            )}
          </div>
        </div>
      </div>
    </form>
  );
}

/** A key that nobody has used, by which the server knows a request that comes twice. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}
