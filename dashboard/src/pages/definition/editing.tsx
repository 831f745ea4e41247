import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useBlocker, useNavigate } from "@tanstack/react-router";
import { CircleAlert, CircleCheck, TriangleAlert } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { type Api, api, data } from "../../api/client";
import { store, validate } from "../../api/definitions";
import { type EditorHandle, YamlDiff, YamlEditor } from "../../editor";
import { type Problem, problemsOf } from "../../editor/problems";
import { GraphView } from "../../graph";
import { confirm } from "../../ui/confirm";
import { Busy, Button, ErrorBox, Panel } from "../../ui/kit";
import { useSettled } from "../../ui/settled";
import { toast } from "../../ui/toast";
import type { Draft, SetDraft } from "./draft";
import { useDrawn } from "./drawn";

interface Props {
  /** Absent for a new definition. */
  definition?: Api<"DefinitionResource">;
  source: string;
  /** The version that has this text; empty for a new definition. */
  version?: string;
  draft: Draft | undefined;
  onDraft: SetDraft;
}

/** Writes a definition: checked by the server while one types, drawn beside, saved as a new version. */
export function Editing({ definition, source, version = "", draft, onDraft }: Props) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const editor = useRef<EditorHandle>(null);
  const text = draft?.text ?? source;
  // What was saved last, until it has come back.
  const [stored, setStored] = useState<string>();
  const changed = draft !== undefined && draft.text !== source && draft.text !== stored;
  // What was saved has come back as the newest version.
  const saved = draft !== undefined && draft.text === source && draft.base === version;
  useEffect(() => {
    if (saved) onDraft(undefined);
  }, [saved, onDraft]);
  const settled = useSettled(text, 400);
  const [comparing, setComparing] = useState(false);
  const file = `${definition?.job_type ?? "definition"}.yaml`;
  const report = useQuery({
    queryKey: ["definitions", "validation", settled],
    queryFn: () => validate(settled, file),
    placeholderData: (before) => before,
    retry: false,
    gcTime: 60_000,
  });
  const problems = useMemo(() => problemsOf(report.data), [report.data]);
  const graph = useDrawn(settled, report.data?.graph, report.data !== undefined || report.isError);
  const checked = settled === text && !report.isPlaceholderData && report.data !== undefined;

  useBlocker({
    shouldBlockFn: async ({ current, next }) => {
      if (!changed || current.pathname === next.pathname) return false;
      const leaves = await confirm({
        title: "Leave without saving?",
        body: "What you have changed in this definition is not saved and will be lost.",
        action: "Leave",
        keep: "Stay",
        danger: true,
      });
      if (leaves) onDraft(undefined);
      return !leaves;
    },
    enableBeforeUnload: () => changed,
  });

  const save = useMutation({
    mutationFn: async () => {
      const named = report.data?.job_type;
      if (definition === undefined || named !== definition.job_type) {
        const sure = named == null || (await mayTake(named, definition?.job_type));
        if (!sure) return undefined;
      } else {
        const now = await data(
          api.GET("/api/v1/definitions/{job_type}", { params: { path: { job_type: definition.job_type } } }),
        );
        const sure =
          now.version === (draft?.base ?? version) ||
          (await confirm({
            title: "Save over a newer version?",
            body: "Somebody has saved another version since you began. It stays among the versions, but new jobs will use yours.",
            action: "Save mine",
            danger: true,
          }));
        if (!sure) return undefined;
      }
      return { ...(await store(text, file)), text };
    },
    onSuccess: async (done) => {
      if (done === undefined) return;
      const { definition: now, isNew } = done;
      setStored(done.text);
      // The editor goes on with what it has, and with what was typed meanwhile, until the version has come.
      const here = now.job_type === definition?.job_type;
      onDraft((before) => (here && before ? { ...before, base: now.version } : undefined));
      toast.ok(
        isNew
          ? `${now.job_type} is saved: version ${now.semver ?? now.version.slice(0, 8)}.`
          : "This version was there already.",
        isNew ? "New jobs use it. Jobs that are there go on with theirs." : undefined,
      );
      await queries.invalidateQueries({ queryKey: ["definitions"] });
      if (!here) {
        await navigate({ to: "/definitions/$type", params: { type: now.job_type }, ignoreBlocker: true });
      }
    },
  });
  const maySave = checked && report.data?.valid === true && !save.isPending && (changed || definition === undefined);
  const change = (value: string) => onDraft((before) => ({ text: value, base: before?.base ?? version }));

  return (
    <div className="grid items-start gap-4 xl:grid-cols-[3fr_2fr]">
      <Panel
        title={comparing ? "What you have changed" : "Definition"}
        flush
        actions={
          <div className="flex flex-wrap justify-end gap-1">
            {changed && definition !== undefined && (
              <>
                <Button look="quiet" aria-pressed={comparing} onClick={() => setComparing(!comparing)}>
                  {comparing ? "Go on writing" : "Show changes"}
                </Button>
                <Button
                  look="quiet"
                  onClick={() =>
                    void confirm({
                      title: "Throw the changes away?",
                      body: "The text becomes that of the newest version again.",
                      action: "Throw away",
                      danger: true,
                    }).then((sure) => sure && onDraft(undefined))
                  }
                >
                  Discard
                </Button>
              </>
            )}
            <Button look="primary" disabled={!maySave} onClick={() => save.mutate()}>
              {save.isPending ? "Saving…" : definition === undefined ? "Save" : "Save as new version"}
            </Button>
          </div>
        }
      >
        {comparing && changed ? (
          <div className="max-h-[calc(100dvh-16rem)] overflow-auto">
            <YamlDiff before={source} after={text} label="What you have changed" />
          </div>
        ) : (
          <div className="h-[calc(100dvh-22rem)] min-h-80">
            <YamlEditor
              ref={editor}
              value={text}
              label="The definition as YAML. Press Escape, then Tab, to leave the editor"
              problems={problems}
              onChange={change}
              onSave={() => maySave && save.mutate()}
            />
          </div>
        )}
        <Verdict
          report={report.data}
          error={report.error}
          problems={problems}
          checking={!checked && !report.isError}
          onGo={({ line, column }) => editor.current?.goTo(line, column)}
        />
        {save.isError && (
          <div className="p-3">
            <ErrorBox error={save.error} />
          </div>
        )}
      </Panel>
      <Panel title="Preview" flush>
        <div className="h-[calc(100dvh-19rem)] min-h-80 overflow-hidden rounded-b-lg">
          {graph ? <GraphView graph={graph} label="The tasks as they are written now" /> : <Busy label="Drawing" />}
        </div>
      </Panel>
    </div>
  );
}

/** Whether a text that names another definition than that of the page may be saved. */
async function mayTake(named: string, here: string | undefined): Promise<boolean> {
  const { response } = await api.GET("/api/v1/definitions/{job_type}", { params: { path: { job_type: named } } });
  if (response.status === 404 && here === undefined) return true;
  return confirm({
    title: response.status === 404 ? `Make a new definition ${named}?` : `Save a new version of ${named}?`,
    body:
      response.status === 404
        ? `The text names ${named}. ${here} stays as it is.`
        : `There is a definition ${named} already. New jobs of it will use this text; the one before stays among its versions.`,
    action: "Save",
  });
}

function Verdict({
  report,
  error,
  problems,
  checking,
  onGo,
}: {
  report: Api<"ValidationReport"> | undefined;
  error: Error | null;
  problems: Problem[];
  checking: boolean;
  onGo: (problem: Problem) => void;
}) {
  return (
    <div className="max-h-56 overflow-y-auto border-t border-line px-3 py-2 text-sm">
      {error && <ErrorBox error={error} />}
      <p role="status" className="flex items-center gap-1.5">
        {checking ? (
          <span className="text-soft">Checking…</span>
        ) : report?.valid ? (
          <>
            <CircleCheck aria-hidden size={15} className="text-ok" />
            <span>
              Valid: {report.tasks} {report.tasks === 1 ? "task" : "tasks"}
              {report.schedule && `; ${report.schedule}`}
              {report.next_runs[0] && `, next ${report.next_runs[0]}`}
            </span>
          </>
        ) : (
          report && (
            <>
              <CircleAlert aria-hidden size={15} className="text-bad" />
              <span>
                {report.errors.length} {report.errors.length === 1 ? "problem" : "problems"}
              </span>
            </>
          )
        )}
      </p>
      <ul>
        {problems.map((problem) => (
          <li key={`${problem.line}:${problem.column} ${problem.code} ${problem.message}`}>
            <button
              type="button"
              className="flex min-h-target w-full items-start gap-1.5 rounded px-1 py-0.5 text-left hover:bg-raised"
              onClick={() => onGo(problem)}
            >
              {problem.severity === "error" ? (
                <CircleAlert aria-label="Error" size={14} className="mt-0.5 shrink-0 text-bad" />
              ) : (
                <TriangleAlert aria-label="Warning" size={14} className="mt-0.5 shrink-0 text-ask" />
              )}
              <span className="shrink-0 font-mono text-xs leading-5 text-soft">
                {problem.line}:{problem.column}
              </span>
              <span className="min-w-0 break-words">{problem.message}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
