import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useMemo, useState } from "react";
import { plain } from "../../log/ansi";
import { cn } from "../../ui/cn";
import { Check } from "../../ui/field";
import { Button, Empty, Loaded, money } from "../../ui/kit";
import { lookOf } from "../../ui/state";
import { duration } from "../../ui/time";
import { type Compared, compareLines } from "./diff";
import { type Attempt, attemptName } from "./job";
import { logEndQuery } from "./requests";

const mostLog = 512 * 1024;

/** Two attempts beside one another: what differs of their facts, outputs and logs. */
export default function Compare({
  jobId,
  left,
  right,
  onClose,
}: {
  jobId: string;
  left: Attempt;
  right: Attempt;
  onClose: () => void;
}) {
  const rows = useMemo(() => factsOf(left, right), [left, right]);
  return (
    <div className="flex min-h-0 flex-1 flex-col gap-4 overflow-y-auto border-t border-line p-4">
      <div className="flex items-center justify-between gap-2">
        <h3 className="font-semibold">
          Attempt {left.number} and attempt {right.number}
        </h3>
        <Button look="quiet" onClick={onClose}>
          <X aria-hidden size={14} /> End comparing
        </Button>
      </div>
      <div className="overflow-x-auto">
        <table className="w-full text-left">
          <thead className="text-xs text-soft">
            <tr>
              <th scope="col" className="py-1 pr-3 font-medium" />
              <th scope="col" className="py-1 pr-3 font-medium">
                #{left.number} {attemptName(left)}
              </th>
              <th scope="col" className="py-1 font-medium">
                #{right.number} {attemptName(right)}
              </th>
            </tr>
          </thead>
          <tbody className="divide-y divide-line">
            {rows.map(({ name, values: [a, b] }) => (
              <tr key={name} className={cn(a !== b && "bg-ask-soft")}>
                <th scope="row" className="py-1 pr-3 align-top font-normal whitespace-nowrap text-soft">
                  {name}
                  {a !== b && <span className="sr-only"> (differs)</span>}
                </th>
                <td className="py-1 pr-3 align-top break-all">{a}</td>
                <td className="py-1 align-top break-all">{b}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Logs jobId={jobId} left={left} right={right} />
    </div>
  );
}

function factsOf(left: Attempt, right: Attempt): { name: string; values: [string, string] }[] {
  const rows: { name: string; values: [string, string] }[] = [];
  const add = (name: string, of: (attempt: Attempt) => string | number | null | undefined) => {
    const values: [string, string] = [String(of(left) ?? "–"), String(of(right) ?? "–")];
    if (values[0] !== "–" || values[1] !== "–") rows.push({ name, values });
  };
  const took = (from: string | null | undefined, until: string | null | undefined) =>
    from && until ? duration(new Date(until).getTime() - new Date(from).getTime()) : undefined;
  add("State", (each) => lookOf(each.state).word);
  add("Result", (each) => each.result);
  add("Exit code", (each) => each.exit_code);
  add("Error", (each) => each.error && `${each.error.message} (${each.error.code})`);
  add("Waited", (each) => took(each.created_at, each.started_at));
  add("Ran", (each) => took(each.started_at, each.finished_at));
  add("Ant", (each) => each.ant);
  add("Started by", (each) => each.routed_from.map((from) => `${from.task} (${from.result})`).join(", ") || undefined);
  add("Cost", (each) => each.agent && money(each.agent.cost_usd));
  add("Turns", (each) => each.agent?.turns);
  add("Model", (each) => each.agent?.model);
  add("Files", (each) => each.artifacts.map((file) => file.name).join(", ") || undefined);
  const outputs = new Set([...Object.keys(left.outputs), ...Object.keys(right.outputs)]);
  for (const name of outputs)
    add(`Output ${name}`, (each) => {
      const value = each.outputs[name];
      return value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
    });
  return rows;
}

function Logs({ jobId, left, right }: { jobId: string; left: Attempt; right: Attempt }) {
  const before = useQuery(logEndQuery(jobId, left, mostLog));
  const after = useQuery(logEndQuery(jobId, right, mostLog));
  const cut = Math.max(left.log_bytes, right.log_bytes) > mostLog;
  return (
    <section className="min-w-0">
      <h3 className="mb-1 font-semibold">Logs</h3>
      {cut && <p className="mb-1 text-xs text-soft">Of longer logs the last 512 KiB are compared.</p>}
      <Loaded query={before}>{(a) => <Loaded query={after}>{(b) => <Lines before={a} after={b} />}</Loaded>}</Loaded>
    </section>
  );
}

const linesOf = (text: string) => text.replace(/\n$/, "").split("\n").map(plain);

const around = 3;
const most = 5000;

function Lines({ before, after }: { before: string; after: string }) {
  const [all, setAll] = useState(false);
  const lines = useMemo(() => compareLines(linesOf(before), linesOf(after)), [before, after]);
  const differing = lines.filter((line) => line.kind !== "same").length;
  const shown = useMemo(() => (all ? lines : folded(lines)).slice(0, most), [lines, all]);
  if (differing === 0) return <Empty title="Their logs are the same" />;
  return (
    <>
      <p className="mb-1 flex items-center gap-3 text-xs text-soft">
        {differing} lines differ
        <Check checked={all} onChange={setAll}>
          Show equal lines
        </Check>
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <pre tabIndex={0} className="max-h-[60vh] overflow-auto rounded-md border border-line font-mono text-xs">
        {shown.map((line, index) => (
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: the lines do not move
            key={index}
            className={cn(
              "px-2 whitespace-pre",
              line.kind === "added" && "bg-ok-soft",
              line.kind === "removed" && "bg-bad-soft",
              line.kind === "fold" && "bg-raised text-soft",
            )}
          >
            <span aria-hidden className="inline-block w-4 select-none">
              {{ added: "+", removed: "−", same: " ", fold: "⋯" }[line.kind]}
            </span>
            {line.text}
          </div>
        ))}
      </pre>
    </>
  );
}

type Shown = Compared | { kind: "fold"; text: string };

/** Equal lines far from any difference are folded. */
function folded(lines: Compared[]): Shown[] {
  const near = new Set<number>();
  lines.forEach((line, index) => {
    if (line.kind !== "same") for (let at = index - around; at <= index + around; at++) near.add(at);
  });
  const shown: Shown[] = [];
  let hidden = 0;
  const fold = () => {
    if (hidden > 0) shown.push({ kind: "fold", text: `${hidden} equal ${hidden === 1 ? "line" : "lines"}` });
    hidden = 0;
  };
  lines.forEach((line, index) => {
    if (!near.has(index)) hidden++;
    else {
      fold();
      shown.push(line);
    }
  });
  fold();
  return shown;
}
