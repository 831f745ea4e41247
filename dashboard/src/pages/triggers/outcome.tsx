import { Bell, CircleCheck, CircleX, Copy, Filter, Gauge, Repeat, Zap } from "lucide-react";
import type { Api } from "../../api/client";
import { Badge, type Tone } from "../../ui/state";

type Outcome = Api<"DeliveryOutcome">;

export const outcomes: Record<Outcome, { tone: Tone; icon: typeof Bell; word: string; means: string }> = {
  submitted: { tone: "ok", icon: CircleCheck, word: "Submitted", means: "A job was submitted (202)." },
  woke: { tone: "ok", icon: Zap, word: "Woke", means: "A task that waited goes on (202)." },
  duplicate: { tone: "idle", icon: Copy, word: "Duplicate", means: "A job with the same key is alive (200)." },
  filtered: { tone: "idle", icon: Filter, word: "Filtered", means: "The filter did not let it through (200)." },
  ping: { tone: "idle", icon: Bell, word: "Ping", means: "The sender only tried the webhook (200)." },
  replayed: { tone: "idle", icon: Repeat, word: "Replayed", means: "It came before, and was answered as then (200)." },
  limited: { tone: "ask", icon: Gauge, word: "Limited", means: "Too many came: the sender was told to wait (429)." },
  refused: {
    tone: "bad",
    icon: CircleX,
    word: "Refused",
    means: "It could not be evaluated, or the job is not acceptable (422).",
  },
};

export function OutcomeMark({ outcome }: { outcome: Outcome }) {
  const { tone, icon: Icon, word, means } = outcomes[outcome];
  return (
    <Badge tone={tone} title={means}>
      <Icon aria-hidden size={13} />
      {word}
    </Badge>
  );
}
