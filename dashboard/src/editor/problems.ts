import type { Api } from "../api/client";

export interface Problem {
  line: number;
  column: number;
  severity: "error" | "warning";
  code: string;
  message: string;
}

/** Line and column, from 1, that a `file:line:column` of the validator names. */
export function positionOf(field: string): { line: number; column: number } | undefined {
  const found = /:(\d+):(\d+)$/.exec(field);
  return found ? { line: Number(found[1]), column: Number(found[2]) } : undefined;
}

/** What the validator has found, each with its place; what has none stands at the beginning. */
export function problemsOf(report: Api<"ValidationReport"> | undefined): Problem[] {
  const of = (found: Api<"FieldViolation">[], severity: Problem["severity"]) =>
    found.map(({ field, code, message }) => ({
      ...(positionOf(field) ?? { line: 1, column: 1 }),
      severity,
      code,
      message,
    }));
  return report === undefined ? [] : [...of(report.errors, "error"), ...of(report.warnings, "warning")];
}
