import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useRouter } from "@tanstack/react-router";
import { Moon, Search, Sun, SunMoon } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { token } from "../api/client";
import { useLiveState } from "../api/live";
import { cn } from "../ui/cn";
import { Confirmer } from "../ui/confirm";
import { Toaster } from "../ui/toast";
import { callerQuery, signOut } from "./caller";
import { useLive } from "./context";
import { Caps, KeyList } from "./keylist";
import { useKeys } from "./keys";
import { Login } from "./login";
import { NoticesMenu } from "./notices";
import { usePages } from "./pages";
import { setTheme, type Theme, useTheme } from "./theme";
import { useNeedCount, Watcher } from "./watcher";

const Palette = lazy(() => import("./palette").then(({ Palette }) => ({ default: Palette })));

/** What is around every page: navigation, the state of the connection, the theme. */
export function Shell() {
  const live = useLive();
  const state = useLiveState(live);
  const router = useRouter();
  const pages = usePages();
  const [keysShown, setKeysShown] = useState(false);
  // Its code is fetched when it is opened first.
  const [palette, setPalette] = useState<"never" | "open" | "closed">("never");
  const toggle = () => setPalette((before) => (before === "open" ? "closed" : "open"));
  useKeys(
    "Everywhere",
    [
      { keys: "mod+k", label: "Find jobs, definitions, pages, actions", run: toggle },
      { keys: "?", label: "Show this list of keys", run: () => setKeysShown(true) },
    ],
    { shell: true },
  );
  useKeys(
    "Go to",
    pages.map(({ to, label, key }) => ({ keys: key, label, run: () => void router.navigate({ to }) })),
    { shell: true },
  );
  if (state === "refused") return <Login refusal={live.refusal} />;
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
        <button
          type="button"
          className="mx-2 mb-2 flex min-h-8 items-center gap-2 rounded-md border border-line px-2 text-soft hover:bg-raised hover:text-text max-md:absolute max-md:top-2 max-md:left-24"
          onClick={toggle}
        >
          <Search aria-hidden size={14} />
          <span className="flex-1 text-left">Find</span>
          <span className="max-md:hidden">
            <Caps keys="mod+k" />
          </span>
        </button>
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
              {to === "/" && <NeedsCount />}
            </Link>
          ))}
        </nav>
        <Person offline={state === "offline"} />
        <div className="flex items-center justify-between gap-2 border-line px-4 py-2 max-md:absolute max-md:top-1 max-md:right-0 md:border-t">
          <Connection state={state} />
          <span className="flex items-center">
            <NoticesMenu />
            <ThemeButton />
          </span>
        </div>
      </aside>
      <main id="main" className="min-w-0 px-4 py-5 md:px-6">
        <Outlet />
      </main>
      <KeyList open={keysShown} onOpenChange={setKeysShown} />
      {palette !== "never" && (
        <Suspense>
          <Palette
            open={palette === "open"}
            onOpenChange={(open) => setPalette(open ? "open" : "closed")}
            onShowKeys={() => setKeysShown(true)}
          />
        </Suspense>
      )}
      <Watcher />
      <Confirmer />
      <Toaster />
    </div>
  );
}

/** So many things need somebody. */
function NeedsCount() {
  const needs = useNeedCount() ?? 0;
  if (needs === 0) return null;
  return (
    <span className="ml-auto rounded-full bg-ask-soft px-1.5 text-xs font-medium text-ask tabular-nums">
      {needs}
      <span className="sr-only"> {needs === 1 ? "thing needs" : "things need"} you</span>
    </span>
  );
}

/** Who is signed in, where the server asks for that; without an answer of it, that there is a token to forget. */
function Person({ offline }: { offline: boolean }) {
  const { data: caller } = useQuery(callerQuery);
  const unknown = caller === undefined && offline && token.get() !== null;
  if (!caller?.user && !unknown) return null;
  return (
    <div className="flex items-center justify-between gap-2 border-t border-line px-4 py-1.5 text-xs text-soft max-md:hidden">
      {caller?.user ? (
        <span className="min-w-0 break-words" title={`Signed in with the token ${caller.token}`}>
          <span className="font-medium text-text">{caller.user}</span>, {caller.role}
        </span>
      ) : (
        <span>Signed in with a token</span>
      )}
      <button type="button" className="min-h-target shrink-0 rounded text-accent hover:underline" onClick={signOut}>
        Sign out
      </button>
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
