import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { type Api, api, data } from "../api/client";
import { byEnd } from "./inbox";

/** So many jobs of a kind are looked at; lists say when there are more. */
export const most = 200;
/** So many blocked jobs are asked about, the newest first. */
export const mostBlocked = 30;

const jobs = (state: Api<"JobState">[], limit: number) =>
  data(api.GET("/api/v1/jobs", { params: { query: { state, limit } } }));

export const activeJobs = queryOptions({
  queryKey: ["jobs", "active"],
  queryFn: () => jobs(["PENDING", "RUNNING", "WAITING", "PAUSED", "CANCELLING"], most),
});

export const blockedJobs = queryOptions({
  queryKey: ["jobs", "blocked"],
  queryFn: () => jobs(["BLOCKED"], mostBlocked),
});

export const endedJobs = queryOptions({
  queryKey: ["jobs", "ended"],
  queryFn: async () => byEnd((await jobs(["COMPLETED", "FAILED", "BLOCKED", "CANCELLED"], most)).items),
});

export const openApprovals = queryOptions({
  queryKey: ["live", "approvals", "open"],
  queryFn: () => data(api.GET("/api/v1/approvals", { params: { query: { limit: 100 } } })),
});

export const ants = queryOptions({
  queryKey: ["live", "ants"],
  queryFn: () => data(api.GET("/api/v1/ants", { params: { query: { limit: 500 } } })),
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
  queryFn: () => data(api.GET("/api/v1/definitions", { params: { query: { limit: 500 } } })),
});

export const jobDetail = (id: string) =>
  queryOptions({
    queryKey: ["job", id, "detail"],
    queryFn: () => data(api.GET("/api/v1/jobs/{id}", { params: { path: { id } } })),
    placeholderData: keepPreviousData,
  });
