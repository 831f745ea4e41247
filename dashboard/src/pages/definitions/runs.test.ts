import { expect, it } from "vitest";
import type { Api } from "../../api/client";
import { byDefinition } from "./runs";

const job = (job_type: string, state: Api<"JobState">) => ({ job_type, state }) as Api<"JobSummary">;

it("jobs are counted by definition, those that have not ended by themselves are not", () => {
  const found = byDefinition([
    job("a", "RUNNING"),
    job("a", "COMPLETED"),
    job("b", "CANCELLED"),
    job("a", "FAILED"),
    job("a", "CANCELLED"),
    job("a", "COMPLETED"),
    job("a", "BLOCKED"),
  ]);
  expect(found.get("a")?.success).toBe(0.5);
  expect(found.get("a")?.jobs).toHaveLength(6);
  expect(found.get("b")?.success).toBeUndefined();
  expect(found.get("c")).toBeUndefined();
});
