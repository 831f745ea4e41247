import type { Api } from "../../src/api/client";
import { messages } from "../../src/api/sse";
import { ended } from "../../src/app/states";

type Job = Api<"JobDetail">;
type Event = Api<"EventResource">;

/** The API as a test uses it: to make what pages are to show. Waits are for events, never for time to pass. */
export class Client {
  readonly url: string;
  readonly #token: string | undefined;

  constructor(url: string, token?: string) {
    this.url = url;
    this.#token = token;
  }

  /** An answer's body; throws when it is a problem. */
  async ask<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const text = typeof body === "string";
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(this.#token === undefined ? {} : { Authorization: `Bearer ${this.#token}` }),
        ...(body === undefined ? {} : { "Content-Type": text ? "application/yaml" : "application/json" }),
      },
      ...(body === undefined ? {} : { body: text ? body : JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${answer}`);
    return (answer === "" ? undefined : JSON.parse(answer)) as T;
  }

  async install(...definitions: string[]): Promise<void> {
    for (const text of definitions) await this.ask("POST", "/api/v1/definitions?file=test.yaml", text);
  }

  /** Makes a token; from the first one on the server asks everybody for one. */
  async token(name: string, role: Api<"Role">, user?: string): Promise<string> {
    return (await this.ask<Api<"NewToken">>("POST", "/api/v1/tokens", { name, role, user })).value;
  }

  /** Submits a job and returns its id. */
  async submit(type: string, params: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
    const answer = await this.ask<Api<"SubmitResponse">>("POST", "/api/v1/jobs", { job_type: type, params, ...more });
    return answer.job_id;
  }

  async job(id: string): Promise<Job> {
    return await this.ask<Job>("GET", `/api/v1/jobs/${id}`);
  }

  /** Submits a job and waits for its end. */
  async run(type: string, params: Record<string, unknown> = {}): Promise<Job> {
    return await this.ended(await this.submit(type, params));
  }

  /** Waits until something is true of a job; looks again at each event, and fails when the job ends without it. */
  async until(id: string, isSo: (job: Job) => boolean): Promise<Job> {
    for await (const _ of this.events(`/api/v1/jobs/${id}/events/stream`)) {
      const job = await this.job(id);
      if (isSo(job)) return job;
    }
    const job = await this.job(id);
    if (isSo(job)) return job;
    throw new Error(`the job ended as ${job.state} (${job.reason}), and what was waited for never was so: ${isSo}`);
  }

  async state(id: string, ...states: Api<"JobState">[]): Promise<Job> {
    return await this.until(id, (job) => states.includes(job.state));
  }

  async ended(id: string): Promise<Job> {
    return await this.state(id, ...ended);
  }

  /** The stream's messages as they come. A job's stream ends with the job. */
  async *events(path = "/api/v1/events/stream?after=0"): AsyncGenerator<Event | undefined> {
    const stop = new AbortController();
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (this.#token !== undefined) headers.Authorization = `Bearer ${this.#token}`;
    const response = await fetch(`${this.url}${path}`, { headers, signal: stop.signal });
    if (!response.ok || response.body === null) throw new Error(`${path} answered ${response.status}`);
    try {
      for await (const message of messages(response.body)) {
        if (message.event === "end") return;
        yield message.data === "" ? undefined : (JSON.parse(message.data) as Event);
      }
    } finally {
      stop.abort();
    }
  }
}
