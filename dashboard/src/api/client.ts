import createClient from "openapi-fetch";
import type { components, paths } from "./generated/schema";

/** A type of the server's API by the name it has in the OpenAPI document. */
export type Api<Name extends keyof components["schemas"]> = components["schemas"][Name];

const tokenKey = "atta.token";

/** Whether something can be a token at all: a browser refuses to send what has other letters. */
export const looksLikeToken = (value: string) => /^[\x21-\x7e]+$/.test(value);

/** The token of this browser tab, if the server asked for one. */
export const token = {
  get: () => sessionStorage.getItem(tokenKey),
  set: (value: string) => sessionStorage.setItem(tokenKey, value),
  forget: () => sessionStorage.removeItem(tokenKey),
};

/** What every request of ours carries. */
export function headers(): Record<string, string> {
  const value = token.get();
  return value === null ? {} : { Authorization: `Bearer ${value}` };
}

const client = createClient<paths>({ baseUrl: "/" });
client.use({
  onRequest({ request }) {
    for (const [name, value] of Object.entries(headers())) request.headers.set(name, value);
    return request;
  },
});

/** The server's API. Answers go through `data()`, which turns problems into errors. */
export const api = client;

/** An answer that is not what was asked for: a problem (RFC 9457) of the server, or no answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Api<"Problem"> | undefined;

  constructor(status: number, problem: Api<"Problem"> | undefined) {
    super(problem?.detail ?? problem?.title ?? `the server answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

/** What is wrong, by an answer that did not come through `data()`; undefined when it does not say. */
export const problemOf = (response: Response): Promise<Api<"Problem"> | undefined> =>
  response.json().catch(() => undefined);

/** The body of a successful answer. Throws `ApiError` otherwise. */
export async function data<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data: body, error, response } = await answer;
  if (!response.ok) {
    const problem = typeof error === "object" && error !== null ? (error as Api<"Problem">) : undefined;
    throw new ApiError(response.status, problem);
  }
  return body as T;
}
