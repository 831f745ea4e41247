import { type Attempt, attemptsOf, type Job } from "./job";

export interface Bar {
  task: string;
  attempt: Attempt;
  /** Milliseconds since the epoch; it was ready, it started, it ended. */
  ready: number;
  start: number | undefined;
  end: number | undefined;
}

export interface Timeline {
  bars: Bar[];
  from: number;
  until: number;
}

const ms = (text: string | null | undefined) => (text == null ? undefined : new Date(text).getTime());

/** Every attempt with the time it waited for an ant and the time it ran. */
export function timelineOf(job: Job): Timeline {
  const bars = attemptsOf(job).map(({ task, attempt }) => ({
    task: task.task_type,
    attempt,
    ready: ms(attempt.created_at) ?? 0,
    start: ms(attempt.started_at),
    end: ms(attempt.finished_at),
  }));
  const from = bars.reduce((first, bar) => Math.min(first, bar.ready), ms(job.started_at) ?? ms(job.created_at) ?? 0);
  const until = bars.reduce(
    (last, bar) => Math.max(last, bar.end ?? bar.start ?? bar.ready),
    ms(job.finished_at) ?? from,
  );
  return { bars, from, until };
}

const steps = [
  10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3,
  14400e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3,
];

/** Marks for an axis: at most so many, at round distances from its beginning. */
export function marks(length: number, most: number): number[] {
  const step = steps.find((each) => length / each <= most) ?? length / most;
  if (length <= 0) return [0];
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
}
