import { Link, Outlet, useRouter } from "@tanstack/react-router";
import {
  Activity,
  BarChart3,
  Bell,
  Bug,
  CalendarClock,
  FileCode2,
  IdCard,
  KeyRound,
  ListChecks,
  Moon,
  ScrollText,
  Sun,
  SunMoon,
  Wallet,
  Webhook,
} from "lucide-react";
import { useState } from "react";
import { useLiveState } from "../api/live";
import { cn } from "../ui/cn";
import { Confirmer } from "../ui/confirm";
import { Toaster } from "../ui/toast";
import { useLive } from "./context";
import { KeyList } from "./keylist";
import { useKeys } from "./keys";
import { Login } from "./login";
import { setTheme, type Theme, useTheme } from "./theme";

export const pages = [
  { to: "/", label: "Now", key: "g n", icon: Activity },
  { to: "/jobs", label: "Jobs", key: "g j", icon: ListChecks },
  { to: "/definitions", label: "Definitions", key: "g d", icon: FileCode2 },
  { to: "/schedules", label: "Schedules", key: "g s", icon: CalendarClock },
  { to: "/outcomes", label: "Outcomes", key: "g o", icon: BarChart3 },
  { to: "/budgets", label: "Budgets", key: "g b", icon: Wallet },
  { to: "/ants", label: "Ants", key: "g a", icon: Bug },
  { to: "/configs", label: "Configs", key: "g c", icon: KeyRound },
  { to: "/triggers", label: "Triggers", key: "g t", icon: Webhook },
  { to: "/notifications", label: "Notifications", key: "g i", icon: Bell },
  { to: "/tokens", label: "Tokens", key: "g k", icon: IdCard },
  { to: "/audit", label: "Audit", key: "g u", icon: ScrollText },
] as const;

/** What is around every page: navigation, the state of the connection, the theme. */
export function Shell() {
  const live = useLive();
  const state = useLiveState(live);
  const router = useRouter();
  const [keysShown, setKeysShown] = useState(false);
  useKeys("Everywhere", [{ keys: "?", label: "Show this list of keys", run: () => setKeysShown(true) }]);
  useKeys(
    "Go to",
    pages.map(({ to, label, key }) => ({ keys: key, label, run: () => void router.navigate({ to }) })),
  );
  if (state === "refused") return <Login />;
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[13rem_1fr]">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-2">
        Skip to the page
      </a>
      <aside className="border-line bg-panel max-md:border-b md:sticky md:top-0 md:flex md:h-dvh md:flex-col md:border-r">
        <div className="flex items-center gap-2 px-4 py-3">
          <img src="/favicon.svg" alt="" width={22} height={22} />
          <span className="text-base font-semibold">Atta</span>
        </div>
        <nav
          aria-label="Pages"
          className="flex gap-0.5 overflow-x-auto px-2 pb-2 md:flex-1 md:flex-col md:overflow-y-auto"
        >
          {pages.map(({ to, label, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === "/" }}
              className="flex min-h-8 items-center gap-2 rounded-md px-2 py-1 whitespace-nowrap text-soft hover:bg-raised hover:text-text"
              activeProps={{ className: "bg-accent-soft !text-accent font-medium" }}
            >
              <Icon aria-hidden size={16} />
              {label}
            </Link>
          ))}
        </nav>
        <div className="flex items-center justify-between gap-2 border-line px-4 py-2 max-md:absolute max-md:top-1 max-md:right-0 md:border-t">
          <Connection state={state} />
          <ThemeButton />
        </div>
      </aside>
      <main id="main" className="min-w-0 px-4 py-5 md:px-6">
        <Outlet />
      </main>
      <KeyList open={keysShown} onOpenChange={setKeysShown} />
      <Confirmer />
      <Toaster />
    </div>
  );
}

function Connection({ state }: { state: "connecting" | "live" | "offline" }) {
  const words = { connecting: "Connecting", live: "Live", offline: "Reconnecting" };
  return (
    <span role="status" className="flex items-center gap-1.5 text-xs text-soft">
      <span aria-hidden className={cn("size-2 rounded-full", state === "live" ? "bg-ok" : "animate-pulse bg-ask")} />
      {words[state]}
    </span>
  );
}

const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function ThemeButton() {
  const theme = useTheme();
  const Icon = { system: SunMoon, light: Sun, dark: Moon }[theme];
  return (
    <button
      type="button"
      className="rounded-md p-1.5 text-soft hover:bg-raised hover:text-text"
      aria-label={`Theme: ${theme}. Change to ${next[theme]}`}
      title={`Theme: ${theme}`}
      onClick={() => setTheme(next[theme])}
    >
      <Icon aria-hidden size={16} />
    </button>
  );
}
