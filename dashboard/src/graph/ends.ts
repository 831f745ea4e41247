import type { NodeStatus } from "./parts";

const ends: [word: RegExp, state: NodeStatus["state"]][] = [
  [/^END_COMPLETED$/, "COMPLETED"],
  [/^END_BLOCKED$/, "BLOCKED"],
  [/^PAUSE_JOB$/, "PAUSED"],
  [/^RESTART_JOB$/, "READY"],
  [/^(END_FAILED|FATAL|ERR_)/, "FAILED"],
];

/** How a job is at an end that a route leads to; undefined for what is none. */
export const endState = (word: string): NodeStatus["state"] | undefined =>
  ends.find(([pattern]) => pattern.test(word))?.[1];

/** The words or tasks that a route led to. */
export const targetsOf = (route: string | null | undefined) => (route ?? "").split(/[\s,[\]]+/).filter(Boolean);
