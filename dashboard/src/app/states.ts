import type { Api } from "../api/client";

type State = Api<"JobState">;

/** States of jobs that go on, in the order in which a job meets them. */
export const active: readonly State[] = ["PENDING", "RUNNING", "WAITING", "PAUSED", "CANCELLING"];
/** States in which jobs have ended. */
export const ended: readonly State[] = ["COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "SKIPPED"];

export const isOver = (state: State) => ended.includes(state);
