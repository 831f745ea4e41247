import { CircleAlert, CircleCheck, Info, X } from "lucide-react";
import { useEffect, useState } from "react";
import { cn } from "./cn";
import { Shared, useShared } from "./shared";

type ToastTone = "ok" | "bad" | "info";

interface Toast {
  id: number;
  tone: ToastTone;
  text: string;
  detail: string | undefined;
}

/** How long a message stays. Errors stay until somebody closes them. */
const stay = 6000;
const most = 4;
const toasts = new Shared<readonly Toast[]>([]);
let last = 0;

function show(tone: ToastTone, text: string, detail?: string) {
  last++;
  toasts.set([...toasts.get().filter((each) => each.text !== text), { id: last, tone, text, detail }].slice(-most));
}

const close = (id: number) => toasts.set(toasts.get().filter((each) => each.id !== id));

/** Says the result of an action, from anywhere: it appears in a corner, and screen readers say it. */
export const toast = {
  ok: (text: string, detail?: string) => show("ok", text, detail),
  info: (text: string, detail?: string) => show("info", text, detail),
  /** What could not be done, and the error that says why. */
  bad: (text: string, error?: unknown) =>
    show("bad", text, error === undefined ? undefined : error instanceof Error ? error.message : String(error)),
};

const looks = {
  ok: { icon: CircleCheck, className: "text-ok" },
  bad: { icon: CircleAlert, className: "text-bad" },
  info: { icon: Info, className: "text-run" },
};

/** Where messages appear. There is one, in the shell. */
export function Toaster() {
  const shown = useShared(toasts);
  return (
    <section
      aria-label="Messages"
      aria-live="polite"
      aria-relevant="additions"
      className="pointer-events-none fixed right-4 bottom-4 left-4 z-[60] flex flex-col items-end gap-2"
    >
      {shown.map((each) => (
        <ToastBox key={each.id} toast={each} />
      ))}
    </section>
  );
}

function ToastBox({ toast: { id, tone, text, detail } }: { toast: Toast }) {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held || tone === "bad") return;
    const timer = setTimeout(() => close(id), stay);
    return () => clearTimeout(timer);
  }, [held, tone, id]);
  const { icon: Icon, className } = looks[tone];
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the pointer only keeps the message from going away
    <div
      role={tone === "bad" ? "alert" : undefined}
      className="pointer-events-auto flex w-full max-w-sm items-start gap-2 rounded-lg border border-line bg-panel p-3 shadow-lg"
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      <Icon aria-hidden size={16} className={cn("mt-0.5 shrink-0", className)} />
      <div className="max-h-60 min-w-0 flex-1 overflow-y-auto break-words">
        <p className="font-medium">{text}</p>
        {detail && <p className="mt-0.5 whitespace-pre-line text-soft">{detail}</p>}
      </div>
      <button
        type="button"
        aria-label="Close the message"
        className="rounded-md p-1 text-soft hover:bg-raised hover:text-text"
        onClick={() => close(id)}
      >
        <X aria-hidden size={16} />
      </button>
    </div>
  );
}
