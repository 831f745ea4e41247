import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useEffect, useId, useMemo, useState } from "react";
import { type Api, api, data } from "../../api/client";
import { GraphView } from "../../graph";
import type { GraphModel } from "../../graph/model";
import { Field, Select, TextField } from "../../ui/field";
import { Busy, Button, Cell, ErrorBox, input, Panel, Table } from "../../ui/kit";
import { useSettled } from "../../ui/settled";
import { StateBadge } from "../../ui/state";
import { duration } from "../../ui/time";
import { type AssumedTexts, assumptionsOf, overlayOf, readAssumed, readTexts } from "./assumed";
import { useDrawn } from "./drawn";
import { ParamFields } from "./param-fields";
import { paramsOf, readValues } from "./params";

/** What somebody has written: parameters, and what is assumed of tasks. */
interface Written {
  given: Record<string, string>;
  assume: Record<string, AssumedTexts>;
}

/** The same for the same, in whatever order it was written. */
function textOf({ given, assume }: Written): string {
  const sorted = (of: Record<string, unknown>) => Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sorted(given), sorted(assume)]);
}

/**
 * What is written, which goes into the address when it has stayed the same for a moment. Until it is there it is shown from
 * here: a field whose text came back from the address would come late, and throw the caret to its end.
 */
function useWritten() {
  const { given = {}, assume = {} } = useSearch({ from: "/definitions/$type" });
  const navigate = useNavigate({ from: "/definitions/$type" });
  const [draft, setDraft] = useState<Written>();
  const written = draft ?? { given, assume };
  const wanted = textOf(written);
  const asked = useSettled(wanted, 300);
  const there = textOf({ given, assume });
  const settled = asked === wanted;
  useEffect(() => {
    if (draft === undefined || !settled) return;
    if (wanted === there) return setDraft(undefined);
    void navigate({
      search: ({ given: _given, assume: _assume, ...others }) => ({
        ...others,
        ...readTexts(draft.given),
        ...readAssumed(draft.assume),
      }),
      replace: true,
      resetScroll: false,
    });
  }, [draft, settled, wanted, there, navigate]);
  const change = (next: Partial<Written>) => {
    const all = { ...written, ...next };
    // As the address will have it.
    setDraft({ given: readTexts(all.given).given ?? {}, assume: readAssumed(all.assume).assume ?? {} });
  };
  return { ...written, asked, settled, change };
}

/** What a job would do, if its tasks ended as somebody assumes. Nothing runs. */
export function DryRun({
  definition: { job_type, version },
  source,
  known,
}: {
  definition: Api<"DefinitionResource">;
  source: string;
  known: GraphModel | null | undefined;
}) {
  const { given, assume: assumed, asked, settled, change } = useWritten();
  const params = useMemo(() => paramsOf(source), [source]);
  const graph = useDrawn(source, known, true);
  const { values, problems } = readValues(params, given);
  const { assume, problems: wrong } = assumptionsOf(assumed);
  const ready = problems.size === 0 && wrong.size === 0;
  const rehearsal = useQuery({
    queryKey: ["definitions", "rehearsal", job_type, version, asked],
    enabled: ready && settled,
    retry: false,
    placeholderData: keepPreviousData,
    gcTime: 60_000,
    queryFn: ({ signal }) =>
      data(api.POST("/api/v1/definitions:rehearse", { body: { job_type, version, params: values, assume }, signal })),
  });
  const found = rehearsal.data;
  const overlay = useMemo(() => (found && graph ? overlayOf(found, graph) : undefined), [found, graph]);
  const about = (task: string) => {
    if (!(task in assumed)) change({ assume: { ...assumed, [task]: {} } });
  };
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[24rem_minmax(0,1fr)]">
      <div className="flex min-w-0 flex-col gap-4">
        {params.length > 0 && (
          <Panel title="Parameters">
            <ParamFields
              params={params}
              texts={given}
              problems={problems}
              strict
              onTexts={(texts) => change({ given: texts })}
            />
          </Panel>
        )}
        <Panel title="What is assumed">
          <Assumed
            tasks={graph?.nodes.filter((node) => node.kind !== "end").map((node) => node.name) ?? []}
            assumed={assumed}
            problems={wrong}
            onAbout={about}
            onChange={(assume) => change({ assume })}
          />
        </Panel>
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Panel title="What would happen">
          {!ready ? (
            <p className="text-soft">
              {problems.size > 0
                ? `To say it, ${[...problems.keys()].join(", ")} ${problems.size === 1 ? "has" : "have"} to be given as it is expected.`
                : "To say it, what is assumed has to make sense."}
            </p>
          ) : rehearsal.isError ? (
            <ErrorBox error={rehearsal.error} retry={() => void rehearsal.refetch()} />
          ) : found === undefined ? (
            <Busy label="Playing it" />
          ) : (
            <Verdict rehearsal={found} />
          )}
        </Panel>
        <Panel title="The ways taken" flush>
          <div className="h-[26rem] overflow-hidden rounded-b-lg">
            {graph ? (
              <GraphView
                graph={graph}
                {...(overlay && { overlay })}
                onSelect={about}
                label={`Tasks of ${job_type} and the ways that would be taken. Choose one to assume something of it.`}
              />
            ) : (
              <Busy label="Drawing" />
            )}
          </div>
        </Panel>
        {found && !rehearsal.isError && <Steps rehearsal={found} />}
      </div>
    </div>
  );
}

function Assumed({
  tasks,
  assumed,
  problems,
  onAbout,
  onChange,
}: {
  tasks: string[];
  assumed: Record<string, AssumedTexts>;
  problems: ReadonlyMap<string, string>;
  onAbout: (task: string) => void;
  onChange: (assumed: Record<string, AssumedTexts>) => void;
}) {
  const rest = tasks.filter((task) => !(task in assumed));
  return (
    <div className="flex flex-col gap-4">
      <p className="text-soft">
        Every task succeeds, unless something else is said here. Conditions, items and outputs are those of the
        definition, as far as they can be known before it runs.
      </p>
      {Object.entries(assumed).map(([task, texts]) => (
        <One
          key={task}
          task={task}
          texts={texts}
          problem={problems.get(task)}
          onTexts={(next) => onChange({ ...assumed, [task]: next })}
          onRemove={() => onChange(Object.fromEntries(Object.entries(assumed).filter(([each]) => each !== task)))}
        />
      ))}
      {rest.length > 0 && (
        <Select
          label="Assume something of"
          value=""
          onChange={(task) => task !== "" && onAbout(task)}
          options={[["", "Choose a task"], ...rest]}
        />
      )}
    </div>
  );
}

function One({
  task,
  texts,
  problem,
  onTexts,
  onRemove,
}: {
  task: string;
  texts: AssumedTexts;
  problem: string | undefined;
  onTexts: (texts: AssumedTexts) => void;
  onRemove: () => void;
}) {
  const id = useId();
  const { when, ...others } = texts;
  return (
    <fieldset aria-describedby={problem === undefined ? undefined : id} className="rounded-md border border-line p-3">
      <legend className="flex items-center gap-1 px-1 font-medium">
        <span className="break-all">{task}</span>
        <Button
          look="quiet"
          className="min-h-target px-1 py-0"
          aria-label={`Assume nothing of ${task}`}
          onClick={onRemove}
        >
          <X aria-hidden size={14} />
        </Button>
      </legend>
      <div className="flex flex-col gap-2">
        <TextField
          label="It ends with"
          hint="Exit codes or names of results, one for each attempt: 3, 0. The last one repeats."
          placeholder="COMPLETED"
          value={texts.results ?? ""}
          onText={(results) => onTexts({ ...texts, results })}
        />
        <details open={when !== undefined || (texts.items ?? "") !== "" || (texts.outputs ?? "") !== ""}>
          <summary className="min-h-target cursor-pointer text-soft">Condition, items, outputs</summary>
          <div className="mt-2 flex flex-col gap-2">
            <Select
              label="Its condition"
              value={when ?? ""}
              onChange={(value) => onTexts(value === "true" || value === "false" ? { ...others, when: value } : others)}
              options={[
                ["", "as it is evaluated"],
                ["true", "holds"],
                ["false", "does not hold: it is skipped"],
              ]}
            />
            <TextField
              label="Items of its fan_out"
              inputMode="numeric"
              value={texts.items ?? ""}
              onText={(items) => onTexts({ ...texts, items })}
            />
            <Field label="Its outputs" hint="A JSON object">
              {(ids) => (
                <textarea
                  {...ids}
                  rows={2}
                  spellCheck={false}
                  className={`${input} font-mono`}
                  placeholder='{"verdict": "fine"}'
                  value={texts.outputs ?? ""}
                  onChange={(event) => onTexts({ ...texts, outputs: event.target.value })}
                />
              )}
            </Field>
          </div>
        </details>
        {problem && (
          <p id={id} role="alert" className="text-xs text-bad">
            {problem}
          </p>
        )}
      </div>
    </fieldset>
  );
}

function Verdict({ rehearsal }: { rehearsal: Api<"Rehearsal"> }) {
  const { verdict, reason, error_code, job_attempts, waits_ms, tasks, assumed } = rehearsal;
  const ran = tasks.filter((task) => task.attempts > 0);
  const attempts = tasks.reduce((sum, task) => sum + task.attempts, 0);
  return (
    <div role="status" className="flex flex-col gap-2">
      <p className="flex flex-wrap items-center gap-2">
        <StateBadge state={verdict} />
        <span>
          {ran.length} of {tasks.length} tasks run, in {attempts} {attempts === 1 ? "attempt" : "attempts"}
          {job_attempts > 1 && ` and ${job_attempts} attempts of the job`}
          {waits_ms > 0 && `; it waits ${duration(waits_ms)}, besides what the tasks take`}.
        </span>
      </p>
      {reason && (
        <p className="break-words">
          {reason} {error_code && <code className="text-xs text-soft">{error_code}</code>}
        </p>
      )}
      {assumed.length > 0 && (
        <div>
          <p className="text-xs font-medium text-soft">Not known before it runs, and assumed</p>
          <ul className="list-disc pl-5">
            {assumed.map((each) => (
              <li key={each} className="break-words">
                {each}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

const words: Record<Api<"StepKind">, string> = {
  ran: "runs",
  route: "leads on",
  skipped: "is skipped",
  cancelled: "is cancelled",
  job_attempt: "the job begins again",
  waits: "nothing happens",
  paused: "the job is paused",
  final_phase: "the end is known",
};

const atFirst = 200;

/** One thing after another. */
function Steps({ rehearsal: { steps, steps_left_out = 0 } }: { rehearsal: Api<"Rehearsal"> }) {
  const [shown, setShown] = useState(atFirst);
  return (
    <Panel title="Step by step" flush>
      <Table label="Steps" head={["At", "Task", "What", "Result, way or reason"]}>
        {steps.slice(0, shown).map((step, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the steps of one answer do not move
          <tr key={index}>
            <Cell className="whitespace-nowrap text-soft tabular-nums">
              {step.at_ms === 0 ? "0" : duration(step.at_ms)}
            </Cell>
            <Cell className="min-w-32 break-words">
              {step.task ?? <span className="text-soft">–</span>}
              <span className="text-xs text-soft">{which(step)}</span>
            </Cell>
            <Cell className="whitespace-nowrap">{words[step.kind]}</Cell>
            <Cell className="w-full break-words">{step.text}</Cell>
          </tr>
        ))}
      </Table>
      {shown < steps.length && (
        <div className="border-t border-line p-2 text-center">
          <Button look="quiet" onClick={() => setShown(shown + 1000)}>
            Show more
          </Button>
        </div>
      )}
      {steps_left_out > 0 && shown >= steps.length && (
        <p className="border-t border-line px-4 py-2 text-soft">and {steps_left_out} more that were left out</p>
      )}
    </Panel>
  );
}

function which({ visit, attempt, instance }: Api<"Step">): string {
  const parts: string[] = [];
  if (instance != null) parts.push(`item ${instance + 1}`);
  if (visit != null && visit > 1) parts.push(`visit ${visit}`);
  if (attempt != null && attempt > 1) parts.push(`attempt ${attempt}`);
  return parts.length > 0 ? ` (${parts.join(", ")})` : "";
}
