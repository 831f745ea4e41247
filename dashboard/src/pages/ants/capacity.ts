import type { Api } from "../../api/client";

/** What all ants that can be reached can do and do. */
export function capacity(ants: readonly Api<"AntResource">[]): { live: number; slots: number; used: number } {
  const there = ants.filter((ant) => ant.state === "LIVE" || ant.state === "SILENT");
  return {
    live: ants.filter((ant) => ant.state === "LIVE").length,
    slots: there.reduce((sum, ant) => sum + ant.slots, 0),
    used: there.reduce((sum, ant) => sum + ant.used, 0),
  };
}

/** The job that an attempt belongs to: its id begins with the job's. */
export function jobOf(attempt: string): string | undefined {
  return /^(job_[0-9a-f]{32})\b/.exec(attempt)?.[1];
}
