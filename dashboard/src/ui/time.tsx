import { useSyncExternalStore } from "react";

/** One clock for all relative times of a page. */
const ticks = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function everySecond(tick: () => void) {
  ticks.add(tick);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of ticks) each();
  }, 1000);
  return () => {
    ticks.delete(tick);
    if (ticks.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time in milliseconds, anew each second. */
export function useNow(): number {
  return useSyncExternalStore(everySecond, () => now);
}

/** "3 min ago", "in 2 h". */
export function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) return "now";
  const text = duration(size * 1000);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** Milliseconds as at most two units: "4.2 s", "3 min 5 s", "2 h 10 min", "3 d 4 h". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const units: [number, string][] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const parts: string[] = [];
  let rest = seconds;
  for (const [size, name] of units) {
    if (rest >= size && parts.length < 2) {
      parts.push(`${Math.floor(rest / size)} ${name}`);
      rest %= size;
    } else if (parts.length > 0) break;
  }
  return parts.join(" ");
}

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** A moment, relative to now; the absolute time with its zone on hover and for screen readers. */
export function Time({ at, className }: { at: string; className?: string }) {
  const now = useNow();
  const date = new Date(at);
  return (
    <time dateTime={at} title={absolute.format(date)} className={className}>
      {relative(date.getTime(), now)}
    </time>
  );
}

/** How long something took, or takes until now. */
export function Took({
  from,
  until,
  className,
}: {
  from: string;
  until?: string | null | undefined;
  className?: string;
}) {
  const now = useNow();
  const end = until == null ? now : new Date(until).getTime();
  return <span className={className}>{duration(end - new Date(from).getTime())}</span>;
}
