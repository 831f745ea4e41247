import { Bell, BellOff, BellRing } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { Shared, useShared } from "../ui/shared";
import { toast } from "../ui/toast";
import type { Note } from "./status";

/** What the browser's notifications tell of. */
type Notices = "off" | "needs" | "all";

const key = "atta.notices";
const supported = () => typeof Notification !== "undefined" && window.isSecureContext;
/** A browser may have the name and yet let no page show anything (Chrome for Android): kept when it turns out. */
const refusedKey = "atta.notices.refused";
const refused = () => localStorage.getItem(refusedKey) !== null;

function chosen(): Notices {
  if (!supported() || refused() || Notification.permission !== "granted") return "off";
  const value = localStorage.getItem(key);
  return value === "needs" || value === "all" ? value : "off";
}

const level = new Shared(chosen());

export const useNotices = (): Notices => useShared(level);

/** Chooses, and asks the browser for its permission when it is needed. */
async function setNotices(next: Notices) {
  if (next !== "off") {
    if (!supported()) {
      toast.bad("This browser shows notifications of pages on https or localhost only.");
      return;
    }
    if ((await Notification.requestPermission()) !== "granted") {
      toast.bad("The browser does not let this page notify you", "Allow it in the browser's settings of this page.");
      return;
    }
  }
  localStorage.setItem(key, next);
  level.set(chosen());
  toast.ok(
    {
      off: "Notifications are off.",
      needs: "You are told of what needs you while this page is open in another tab or window.",
      all: "You are told of what needs you and of jobs that end while this page is open in another tab or window.",
    }[next],
  );
}

/** Shows a notification of the browser; a click on it leads there. */
export function notify(note: Note | undefined, open: (to: string) => void) {
  if (note === undefined || chosen() === "off") return;
  let shown: Notification;
  try {
    shown = new Notification(note.title, { body: note.body, icon: "/favicon.svg", tag: `atta ${note.to}` });
  } catch {
    localStorage.setItem(refusedKey, "yes");
    level.set(chosen());
    return;
  }
  shown.onclick = () => {
    window.focus();
    open(note.to);
    shown.close();
  };
}

const choices: { value: Notices; label: string }[] = [
  { value: "off", label: "Nothing" },
  { value: "needs", label: "What needs me" },
  { value: "all", label: "What needs me, and jobs that end" },
];

export function NoticesMenu() {
  const current = useNotices();
  if (refused()) return null;
  const Icon = { off: BellOff, needs: Bell, all: BellRing }[current];
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger
        className="rounded-md p-1.5 text-soft hover:bg-raised hover:text-text"
        aria-label={`Notifications of the browser: ${choices.find(({ value }) => value === current)?.label}`}
        title="Notifications of the browser"
      >
        <Icon aria-hidden size={16} />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="end"
          sideOffset={6}
          collisionPadding={8}
          className="z-50 min-w-56 rounded-lg border border-line bg-panel p-1 shadow-lg"
        >
          <DropdownMenu.Label className="px-2 py-1 text-xs text-soft">The browser tells me of</DropdownMenu.Label>
          <DropdownMenu.RadioGroup value={current} onValueChange={(value) => void setNotices(value as Notices)}>
            {choices.map(({ value, label }) => (
              <DropdownMenu.RadioItem
                key={value}
                value={value}
                className="flex min-h-8 cursor-pointer items-center gap-2 rounded-md px-2 outline-none data-highlighted:bg-raised"
              >
                <span
                  aria-hidden
                  className="flex size-3.5 items-center justify-center rounded-full border border-strong"
                >
                  <DropdownMenu.ItemIndicator className="size-1.5 rounded-full bg-accent" />
                </span>
                {label}
              </DropdownMenu.RadioItem>
            ))}
          </DropdownMenu.RadioGroup>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
