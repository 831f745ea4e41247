import type { Api } from "../../api/client";
import { isOver } from "../../app/states";

type Job = Api<"JobSummary">;

export const canCancel = (job: Job) => !isOver(job.state) && job.state !== "CANCELLING";
export const canRetry = (job: Job) => ["FAILED", "BLOCKED", "CANCELLED"].includes(job.state);

export interface Result {
  done: string[];
  failed: { id: string; why: string }[];
}

/** Does something with each, a few at a time, and goes on when one fails. */
export async function withEach(
  ids: readonly string[],
  act: (id: string) => Promise<unknown>,
  parallel = 4,
): Promise<Result> {
  const result: Result = { done: [], failed: [] };
  const rest = [...ids];
  const work = async () => {
    for (let id = rest.shift(); id !== undefined; id = rest.shift()) {
      try {
        await act(id);
        result.done.push(id);
      } catch (error) {
        result.failed.push({ id, why: error instanceof Error ? error.message : String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, ids.length) }, work));
  return result;
}

const jobs = (number: number) => (number === 1 ? "1 job" : `${number} jobs`);

/** One sentence of what came of it, and a line for each reason of what could not be done. */
export function summary({ done, failed }: Result, what: string): { text: string; detail: string | undefined } {
  const all = done.length + failed.length;
  if (failed.length === 0) return { text: `${jobs(done.length)}: ${what}.`, detail: undefined };
  const reasons = new Map<string, string[]>();
  for (const { id, why } of failed) reasons.set(why, [...(reasons.get(why) ?? []), id]);
  const lines = [...reasons].map(([why, ids]) =>
    ids.length === 1 ? `${ids[0]}: ${why}` : `${jobs(ids.length)}: ${why}`,
  );
  return {
    text:
      done.length === 0
        ? `None of ${jobs(all)} could be changed`
        : `${done.length} of ${jobs(all)}: ${what}; ${failed.length} could not be changed`,
    detail: lines.slice(0, 8).join("\n") + (lines.length > 8 ? `\nand ${lines.length - 8} other reasons` : ""),
  };
}
