import { cn } from "./cn";

/** How much of something is used and, lighter, reserved. It says so in words to those who do not see it. */
export function Meter({
  label,
  used,
  reserved = 0,
  limit,
  calm = false,
}: {
  label: string;
  used: number;
  reserved?: number;
  limit: number;
  /** To be full is nothing bad. */
  calm?: boolean;
}) {
  const part = (amount: number) => (limit <= 0 ? (amount > 0 ? 100 : 0) : Math.min(100, (amount / limit) * 100));
  const full = part(used);
  const tone = calm ? "bg-run" : full >= 100 ? "bg-bad" : full >= 80 ? "bg-ask" : "bg-accent";
  return (
    // biome-ignore lint/a11y/useSemanticElements: <meter> has one bar only, and each browser paints it in its own way
    <div
      role="meter"
      aria-label={label}
      title={label}
      aria-valuemin={0}
      aria-valuemax={limit}
      aria-valuenow={Math.min(used, limit)}
      aria-valuetext={`${Math.round(full)} %${reserved > 0 ? `, and ${Math.round(part(reserved))} % reserved` : ""}`}
      className="flex h-2 overflow-hidden rounded-full bg-raised ring-1 ring-line ring-inset"
    >
      <div className={cn("h-full", tone)} style={{ width: `${full}%` }} />
      {reserved > 0 && (
        <div className="h-full bg-strong opacity-60" style={{ width: `${Math.min(100 - full, part(reserved))}%` }} />
      )}
    </div>
  );
}
