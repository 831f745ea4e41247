import {
  Ban,
  CircleCheck,
  CircleDashed,
  CircleSlash,
  CircleX,
  Hand,
  Hourglass,
  LoaderCircle,
  Pause,
} from "lucide-react";
import type { Api } from "../api/client";
import { cn } from "./cn";

export type AnyState = Api<"JobState"> | Api<"TaskState"> | Api<"AttemptState"> | Api<"ApprovalState">;
export type Tone = "ok" | "bad" | "run" | "ask" | "idle";

/** What a state looks like: never colour alone, always a shape and a word too. */
const looks: Record<AnyState, { tone: Tone; icon: typeof Ban; word: string }> = {
  PENDING: { tone: "idle", icon: CircleDashed, word: "Pending" },
  READY: { tone: "idle", icon: CircleDashed, word: "Ready" },
  LEASED: { tone: "run", icon: LoaderCircle, word: "Starting" },
  RUNNING: { tone: "run", icon: LoaderCircle, word: "Running" },
  WAITING: { tone: "ask", icon: Hourglass, word: "Waiting" },
  PAUSED: { tone: "ask", icon: Pause, word: "Paused" },
  CANCELLING: { tone: "run", icon: LoaderCircle, word: "Cancelling" },
  COMPLETED: { tone: "ok", icon: CircleCheck, word: "Completed" },
  FINISHED: { tone: "idle", icon: CircleCheck, word: "Finished" },
  FAILED: { tone: "bad", icon: CircleX, word: "Failed" },
  BLOCKED: { tone: "ask", icon: Hand, word: "Blocked" },
  CANCELLED: { tone: "idle", icon: Ban, word: "Cancelled" },
  SKIPPED: { tone: "idle", icon: CircleSlash, word: "Skipped" },
  OPEN: { tone: "ask", icon: Hand, word: "Open" },
  APPROVED: { tone: "ok", icon: CircleCheck, word: "Approved" },
  REJECTED: { tone: "bad", icon: CircleX, word: "Rejected" },
  TIMED_OUT: { tone: "bad", icon: Hourglass, word: "Timed out" },
  CLOSED: { tone: "idle", icon: CircleSlash, word: "Closed" },
};

export const lookOf = (state: AnyState) => looks[state];

const tones: Record<Tone, string> = {
  ok: "bg-ok-soft text-ok",
  bad: "bg-bad-soft text-bad",
  run: "bg-run-soft text-run",
  ask: "bg-ask-soft text-ask",
  idle: "bg-idle-soft text-idle",
};

export function Badge({ tone, children, title }: { tone: Tone; children: React.ReactNode; title?: string }) {
  return (
    <span
      title={title}
      className={cn(
        "inline-flex items-center gap-1 rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap",
        tones[tone],
      )}
    >
      {children}
    </span>
  );
}

export function StateBadge({ state, title }: { state: AnyState; title?: string }) {
  const { tone, icon: Icon, word } = looks[state];
  return (
    <Badge tone={tone} {...(title === undefined ? {} : { title })}>
      <Icon aria-hidden size={13} className={cn(Icon === LoaderCircle && "animate-spin")} />
      {word}
    </Badge>
  );
}
