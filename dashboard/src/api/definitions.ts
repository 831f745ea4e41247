import { type Api, api, data } from "./client";
import { all, given } from "./paged";

const yaml = { bodySerializer: (body: string) => body, headers: { "Content-Type": "application/yaml" } };

/** Every definition. */
export function allDefinitions(): Promise<Api<"DefinitionResource">[]> {
  return all((cursor) => data(api.GET("/api/v1/definitions", { params: { query: given({ cursor, limit: 500 }) } })));
}

/** A version with its text; versions never change. */
export function storedVersion(job_type: string, version: string): Promise<Api<"VersionResource">> {
  return data(
    api.GET("/api/v1/definitions/{job_type}/versions/{version}", { params: { path: { job_type, version } } }),
  );
}

/** What the server's validator says of a text. */
export function validate(source: string, file: string): Promise<Api<"ValidationReport">> {
  return data(api.POST("/api/v1/definitions:validate", { params: { query: { file } }, body: source, ...yaml }));
}

/** Stores a text: a new version, unless it is one already. */
export async function store(
  source: string,
  file: string,
): Promise<{ definition: Api<"DefinitionResource">; isNew: boolean }> {
  const answer = await api.POST("/api/v1/definitions", { params: { query: { file } }, body: source, ...yaml });
  return { definition: await data(Promise.resolve(answer)), isNew: answer.response.status === 201 };
}
