import type { QueryKey } from "@tanstack/react-query";

/** What the server says to have changed where no event of a job tells of it, and which queries that makes outdated. */
const keys: Record<string, QueryKey[]> = {
  jobs: [["jobs"], ["job"], ["live"]],
  definitions: [["definitions"], ["live", "schedules"]],
  ants: [["live", "ants"]],
  // Definitions say of their webhooks whether there is the secret.
  configs: [["configs"], ["secrets"], ["definitions", "all"]],
  tokens: [["tokens"]],
  audit: [["audit"]],
  deliveries: [["live", "deliveries"], ["delivery"]],
  notifications: [["live", "notifications"]],
  status: [
    ["live", "degradation"],
    ["live", "budgets"],
    ["live", "accounts"],
  ],
};

/** The queries that a message `changed` makes outdated. Topics of a newer server say nothing to us. */
export function outdatedBy(text: string): QueryKey[] {
  const { topics } = JSON.parse(text) as { topics: string[] };
  return topics.flatMap((topic) => keys[topic] ?? []);
}
