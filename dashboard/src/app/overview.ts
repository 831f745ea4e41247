import { queryOptions, useQuery } from "@tanstack/react-query";
import { type Api, api, data } from "../api/client";
import { allDefinitions } from "../api/definitions";
import { all, given } from "../api/paged";

/** So many jobs of a kind are looked at, the newest first; lists say when there are more. */
const most = 200;
/** So many blocked jobs are asked about, the newest first. */
const mostBlocked = 30;
/** What is asked for by itself: a long queue does not hide what runs, or waits for somebody. */
const kinds: readonly Api<"JobState">[][] = [["PAUSED"], ["RUNNING", "CANCELLING"], ["WAITING"], ["PENDING"]];

const jobs = (state: readonly Api<"JobState">[], limit: number, order: "created" | "finished" = "created") =>
  data(api.GET("/api/v1/jobs", { params: { query: { state: [...state], limit, order } } }));

/** How many jobs are in each state, and wait for somebody: what is cheap to ask again whenever something happens. */
export const jobCounts = queryOptions({
  queryKey: ["jobs", "counts"],
  queryFn: () => data(api.GET("/api/v1/jobs/counts")),
});

/** How many jobs are in some states, "+" behind it where there may be more. */
export const counted = ({ states, at_least }: Api<"JobCounts">, ...which: Api<"JobState">[]) => {
  const sum = which.reduce((sum, state) => sum + (states[state] ?? 0), 0);
  return `${sum.toLocaleString("en")}${which.some((state) => at_least.includes(state)) ? "+" : ""}`;
};

/** What goes on, the newest first, and the states in which there is more than that. */
export const activeJobs = queryOptions({
  queryKey: ["jobs", "active"],
  queryFn: async () => {
    const pages = await Promise.all(kinds.map(async (states) => ({ states, ...(await jobs(states, most)) })));
    // A job may have become another kind meanwhile.
    const found = new Map(pages.flatMap(({ items }) => items).map((job) => [job.job_id, job]));
    return {
      items: [...found.values()].sort((a, b) => b.created_at.localeCompare(a.created_at)),
      cut: pages.flatMap(({ states, next_cursor }) => (next_cursor == null ? [] : states)),
    };
  },
});

export const blockedJobs = queryOptions({
  queryKey: ["jobs", "blocked"],
  queryFn: () => jobs(["BLOCKED"], mostBlocked),
});

export const endedJobs = queryOptions({
  queryKey: ["jobs", "ended"],
  queryFn: () => jobs(["COMPLETED", "FAILED", "BLOCKED", "CANCELLED"], 12, "finished"),
});

export const openApprovals = queryOptions({
  queryKey: ["live", "approvals", "open"],
  queryFn: () => data(api.GET("/api/v1/approvals", { params: { query: { limit: 100 } } })),
});

export const ants = queryOptions({
  queryKey: ["live", "ants"],
  queryFn: () => all((cursor) => data(api.GET("/api/v1/ants", { params: { query: given({ cursor, limit: 500 }) } }))),
});

export const budgets = queryOptions({
  queryKey: ["live", "budgets"],
  queryFn: () => data(api.GET("/api/v1/budgets")),
});

export const degradation = queryOptions({
  queryKey: ["live", "degradation"],
  queryFn: () => data(api.GET("/api/v1/degradation")),
});

export const definitions = queryOptions({
  queryKey: ["definitions", "all"],
  queryFn: allDefinitions,
});

/** The names of definitions to choose from; what is chosen is among them, whether it is there or not. */
export function useDefinitionNames(chosen: string): string[] {
  const names = useQuery(definitions).data?.map((each) => each.job_type) ?? [];
  return chosen === "" || names.includes(chosen) ? names : [chosen, ...names];
}

export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", id, "detail"],
    queryFn: () => data(api.GET("/api/v1/jobs/{id}", { params: { path: { id } } })),
  });
