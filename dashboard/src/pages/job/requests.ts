import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { ApiError, api, data } from "../../api/client";
import { storedVersion } from "../../api/definitions";
import { fetchBeginning, fetchBlob } from "../../api/files";
import { all, given } from "../../api/paged";
import { draw } from "../../graph/draw";
import { withoutSelves } from "../../graph/model";

export const approvalsQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", id, "approvals"],
    queryFn: () => data(api.GET("/api/v1/jobs/{id}/approvals", { params: { path: { id }, query: { state: "OPEN" } } })),
  });

/** What the job has achieved; null for one of which nothing is counted. */
export const outcomeQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", id, "outcome"],
    queryFn: async () => {
      try {
        return await data(api.GET("/api/v1/outcomes/{job}", { params: { path: { job: id } } }));
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }
    },
  });

export const artifactsQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", id, "artifacts"],
    queryFn: () =>
      all((cursor) =>
        data(
          api.GET("/api/v1/jobs/{id}/artifacts", { params: { path: { id }, query: given({ cursor, limit: 500 }) } }),
        ),
      ),
  });

/** What an ant was told, which does not change; or the sentence why that is not kept. */
export const commandQuery = (id: string, attempt: number) =>
  queryOptions({
    queryKey: ["command", id, attempt],
    queryFn: async () => {
      const params = { params: { path: { id, number: attempt } } };
      try {
        return await data(api.GET("/api/v1/jobs/{id}/attempts/{number}/command", params));
      } catch (error) {
        if (error instanceof ApiError && error.problem?.code === "COMMAND_NOT_KEPT") return error.message;
        throw error;
      }
    },
  });

/** What is asked for of a list whose newest rows come first. */
function newestFirst(limit: number, cursor: string | undefined): { limit: number; order: "newest"; cursor?: string } {
  return { limit, order: "newest", ...(cursor === undefined ? {} : { cursor }) };
}

/**
 * The attempts of a task, the newest first, in pages. The latest twenty come with the job: the others are asked for when
 * somebody wants one of them, and only as far back as that is, since each event of the job makes them outdated.
 */
export const attemptsQuery = (id: string, task: string) =>
  infiniteQueryOptions({
    queryKey: ["job", id, "attempts", task],
    queryFn: ({ pageParam }) => {
      const query = { task, ...newestFirst(500, pageParam) };
      return data(api.GET("/api/v1/jobs/{id}/attempts", { params: { path: { id }, query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });

/** A version and its graph; it never changes. A server that draws none leaves it to us. */
export const versionQuery = (type: string, version: string) =>
  queryOptions({
    queryKey: ["version", type, version, "graph"],
    queryFn: async () => {
      const { semver, graph, source } = await storedVersion(type, version);
      return { semver: semver ?? undefined, source, graph: withoutSelves(graph ?? (await draw(source)).graph) };
    },
  });

/** The text of each task of a version, which is there when the job's graph is. */
export const sourcesQuery = (type: string, version: string) =>
  queryOptions({
    queryKey: ["version", type, version, "sources"],
    // The version is tried again by its own query.
    retry: false,
    queryFn: async ({ client }) => {
      const { source } = await client.fetchQuery(versionQuery(type, version));
      return (await draw(source)).sources;
    },
  });

/** A page of what happened to the job, the newest first. */
export const fetchEvents = (id: string, cursor: string | undefined) =>
  data(api.GET("/api/v1/jobs/{id}/events", { params: { path: { id }, query: newestFirst(100, cursor) } }));

/** Where the content of an artifact is. */
export const fileUrl = (id: string, attempt: number, name: string) =>
  `/api/v1/jobs/${encodeURIComponent(id)}/attempts/${attempt}/artifacts/${name.split("/").map(encodeURIComponent).join("/")}`;

export const logUrl = (id: string, attempt: number) => `/api/v1/jobs/${encodeURIComponent(id)}/attempts/${attempt}/log`;

/** An artifact never changes once it is there. */
export const fileQuery = (id: string, attempt: number, name: string) =>
  queryOptions({
    queryKey: ["file", id, attempt, name],
    queryFn: () => fetchBlob(fileUrl(id, attempt, name)),
    gcTime: 60_000,
  });

export const fileTextQuery = (id: string, attempt: number, name: string) =>
  queryOptions({
    queryKey: ["file", id, attempt, name, "text"],
    queryFn: async () => (await fetchBlob(fileUrl(id, attempt, name))).text(),
    gcTime: 60_000,
  });

/** The whole lines within the first so many bytes of a file. */
export const fileBeginQuery = (id: string, attempt: number, name: string, bytes: number) =>
  queryOptions({
    queryKey: ["file", id, attempt, name, "begin", bytes],
    queryFn: () => fetchBeginning(fileUrl(id, attempt, name), bytes),
    gcTime: 60_000,
  });

/** The last so many bytes of an attempt's log, from the first whole line on. */
export const logEndQuery = (id: string, attempt: { number: number; log_bytes: number }, bytes: number) =>
  queryOptions({
    queryKey: ["log-end", id, attempt.number, attempt.log_bytes, bytes],
    queryFn: async () => {
      if (attempt.log_bytes === 0) return "";
      const text = await (await fetchBlob(logUrl(id, attempt.number), `bytes=-${bytes}`)).text();
      return text.length < bytes ? text : text.slice(text.indexOf("\n") + 1);
    },
  });
