import type { Api } from "../api/client";

/** How the server's jobs do, in numbers. */
export interface Figures {
  running: number;
  needs: number;
  /** Jobs that failed while nobody looked. */
  failed: number;
}

/** What stands before the title of the tab: nothing while all is quiet. */
export function prefix({ running, needs, failed }: Figures): string {
  const parts = [];
  if (needs > 0) parts.push(`${needs} ${needs === 1 ? "needs" : "need"} you`);
  if (failed > 0) parts.push(`${failed} failed`);
  if (running > 0) parts.push(`▶ ${running}`);
  return parts.join(", ");
}

/** The picture of the tab: what is most urgent. */
export function favicon({ running, needs, failed }: Figures): string {
  if (needs > 0) return "/favicon-ask.svg";
  if (failed > 0) return "/favicon-bad.svg";
  return running > 0 ? "/favicon-run.svg" : "/favicon.svg";
}

export interface Ended {
  id: string;
  name: string;
  state: Api<"JobState">;
}

/** What a notification says. */
export interface Note {
  title: string;
  body: string;
  /** Where a click leads. */
  to: string;
}

const words: Partial<Record<Api<"JobState">, string>> = {
  COMPLETED: "completed",
  FAILED: "failed",
  BLOCKED: "is blocked",
  CANCELLED: "was cancelled",
};

/** One notification for what ended in a moment: a job's own, or the sum of several. */
export function noteOfEnded(ended: readonly Ended[]): Note | undefined {
  const [first] = ended;
  if (first === undefined) return undefined;
  if (ended.length === 1) {
    return { title: `${first.name} ${words[first.state] ?? "ended"}`, body: "", to: `/jobs/${first.id}` };
  }
  const counts = new Map<string, number>();
  for (const { state } of ended) {
    const word = state.toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return {
    title: `${ended.length} jobs ended`,
    body: [...counts].map(([word, number]) => `${number} ${word}`).join(", "),
    to: "/jobs",
  };
}

/** One notification for what newly needs somebody. */
export function noteOfNeeds(texts: readonly string[]): Note | undefined {
  const [first] = texts;
  if (first === undefined) return undefined;
  return texts.length === 1
    ? { title: "Atta needs you", body: first.slice(0, 200), to: "/" }
    : { title: `${texts.length} things need you`, body: texts.slice(0, 3).join("\n").slice(0, 300), to: "/" };
}

/** The state that a job has ended in, if this event says so. */
export function endOf(event: Pick<Api<"EventResource">, "kind" | "data">): Api<"JobState"> | undefined {
  if (event.kind !== "job_changed" || typeof event.data !== "object" || event.data === null) return undefined;
  const { to } = event.data as { to?: unknown };
  return to === "COMPLETED" || to === "FAILED" || to === "BLOCKED" || to === "CANCELLED" ? to : undefined;
}
