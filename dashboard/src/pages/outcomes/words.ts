import type { Api } from "../../api/client";
import { duration } from "../../ui/time";

const day = 86_400_000;

export const ranges = {
  "24h": { text: "in the last 24 hours", days: 1 },
  "7d": { text: "in the last 7 days", days: 7 },
  "30d": { text: "in the last 30 days", days: 30 },
  "90d": { text: "in the last 90 days", days: 90 },
  "365d": { text: "in the last year", days: 365 },
  all: { text: "at any time", days: undefined },
} as const;

export const bys: Record<Api<"OutcomesBy">, string> = {
  definition: "Definition",
  repository: "Repository",
  agent: "Agent",
  model: "Model",
  day: "Day",
  job: "Job",
};

/** Since when, on a minute: so that a question is the same for a while. */
export function sinceOf(range: keyof typeof ranges, now: number): string | undefined {
  const { days } = ranges[range];
  if (days === undefined) return undefined;
  return new Date(Math.floor((now - days * day) / 60_000) * 60_000).toISOString();
}

/** A share from 0 to 1; a dash when there is nothing to have a share of. */
export function percent(share: number | null | undefined): string {
  return share == null ? "–" : `${Math.round(share * 100)} %`;
}

export function took(seconds: number | null | undefined): string {
  return seconds == null ? "–" : duration(seconds * 1000);
}

/** Marks a sum as the least that it can be, while something of it is not known. */
export function atLeast(text: string, unknown: number): string {
  return unknown > 0 && text !== "–" ? `≥ ${text}` : text;
}

export function mean(value: number | null | undefined): string {
  return value == null ? "–" : value.toFixed(1);
}
