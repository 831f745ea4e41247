import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { Command } from "cmdk";
import { CornerDownLeft, FileCode2, Keyboard, LogOut, Play, Search, Zap } from "lucide-react";
import { Dialog } from "radix-ui";
import { useEffect, useRef, useState } from "react";
import { api, data } from "../api/client";
import { useFocusBack } from "../ui/focus";
import { plain } from "../ui/inline";
import { useSettled } from "../ui/settled";
import { lookOf, StateBadge } from "../ui/state";
import { callerQuery, signOut, useMay } from "./caller";
import { Caps } from "./keylist";
import { useAllKeys } from "./keys";
import { definitions } from "./overview";
import { usePages } from "./pages";
import { rank } from "./rank";
import { setTheme } from "./theme";

const item =
  "flex min-h-9 cursor-pointer items-center gap-2 rounded-md px-2 py-1 aria-disabled:opacity-50 data-[selected=true]:bg-accent-soft";
const heading =
  "[&_[cmdk-group-heading]]:px-2 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-soft";

/** Finds pages, jobs, definitions and actions by a few letters (⌘K). */
export function Palette({
  open,
  onOpenChange,
  onShowKeys,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onShowKeys: () => void;
}) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 bg-black/40" />
        <Window close={() => onOpenChange(false)} onShowKeys={onShowKeys} />
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Window(props: { close: () => void; onShowKeys: () => void }) {
  return (
    <Dialog.Content
      aria-describedby={undefined}
      onCloseAutoFocus={useFocusBack()}
      className="fixed top-[12dvh] left-1/2 z-50 w-[calc(100vw-2rem)] max-w-xl -translate-x-1/2 overflow-hidden rounded-lg border border-line bg-panel shadow-xl"
    >
      <Dialog.Title className="sr-only">Find pages, jobs, definitions and actions</Dialog.Title>
      <Found {...props} />
    </Dialog.Content>
  );
}

function Found({ close, onShowKeys }: { close: () => void; onShowKeys: () => void }) {
  const router = useRouter();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState("");
  const list = useRef<HTMLDivElement>(null);
  const wanted = useSettled(text.trim(), 200);
  const jobs = useQuery({
    queryKey: ["jobs", "palette", wanted],
    queryFn: () =>
      data(api.GET("/api/v1/jobs", { params: { query: { limit: 8, ...(wanted !== "" && { text: wanted }) } } })),
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  });
  const known = useQuery(definitions);
  const pages = usePages();
  const { data: caller } = useQuery(callerQuery);
  const may = useMay();
  const keys = useAllKeys().filter(({ shell }) => !shell);
  // Jobs come later than what is known here, and what was chosen may be gone: Enter always has something to open.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the list changes when these do
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const entries = [...(list.current?.querySelectorAll("[cmdk-item]") ?? [])];
      const names = entries.map((entry) => entry.getAttribute("data-value") ?? "");
      setChosen((before) => (names.includes(before) ? before : (names[0] ?? "")));
    });
    return () => cancelAnimationFrame(frame);
  }, [text, wanted, jobs.data, known.data]);
  const go = (run: () => void) => () => {
    close();
    // The dialog gives the focus back first; what follows may take it.
    setTimeout(run, 0);
  };

  return (
    <Command label="Find" loop filter={rank} value={chosen} onValueChange={setChosen}>
      <div className="flex items-center gap-2 border-b border-line px-3">
        <Search aria-hidden size={16} className="shrink-0 text-soft" />
        <Command.Input
          value={text}
          onValueChange={setText}
          placeholder="Find jobs, definitions, pages, actions"
          className="min-h-12 w-full bg-transparent text-base placeholder:text-soft focus-visible:outline-none"
        />
      </div>
      <Command.List ref={list} className="max-h-[min(60dvh,26rem)] overflow-y-auto p-1.5">
        <Command.Empty className="p-6 text-center text-soft">
          {jobs.isFetching ? "Searching…" : "Nothing is called that."}
        </Command.Empty>
        {keys.map((group) => (
          <Command.Group key={group.title} heading={`${group.title}, on this page`} className={heading}>
            {group.keys.map((key) => (
              <Command.Item
                key={key.keys}
                value={`key ${group.title} ${key.label}`}
                className={item}
                onSelect={go(() => key.run(new KeyboardEvent("keydown")))}
              >
                <Zap aria-hidden size={15} className="text-soft" />
                <span className="min-w-0 flex-1 truncate">{key.label}</span>
                <Caps keys={key.keys} />
              </Command.Item>
            ))}
          </Command.Group>
        ))}
        <Command.Group heading="Pages" className={heading}>
          {pages.map(({ to, label, key, icon: Icon }) => (
            <Command.Item
              key={to}
              value={`page ${label}`}
              className={item}
              onSelect={go(() => void router.navigate({ to }))}
            >
              <Icon aria-hidden size={15} className="text-soft" />
              <span className="flex-1">{label}</span>
              <Caps keys={key} />
            </Command.Item>
          ))}
        </Command.Group>
        <Command.Group heading={wanted === "" ? "Newest jobs" : "Jobs"} className={heading}>
          {(jobs.data?.items ?? []).map((job) => (
            <Command.Item
              key={job.job_id}
              // The server has found it by something that may not be shown here: it stays, whatever was typed.
              value={`${job.job_id} ${job.job_type} ${lookOf(job.state).word} ${text}`}
              className={item}
              onSelect={go(() => void router.navigate({ to: "/jobs/$id", params: { id: job.job_id } }))}
            >
              <span className="w-24 shrink-0">
                <StateBadge state={job.state} />
              </span>
              <span className="shrink-0 font-medium">{job.job_type}</span>
              <span className="min-w-0 flex-1 truncate text-soft">
                <bdi>{plain(job.description ?? "")}</bdi>
              </span>
            </Command.Item>
          ))}
          {wanted !== "" && (
            <Command.Item
              value={`all jobs with ${text}`}
              className={item}
              onSelect={go(() => void router.navigate({ to: "/jobs", search: { text: wanted } }))}
            >
              <Search aria-hidden size={15} className="text-soft" />
              <span className="min-w-0 truncate">All jobs with “{wanted}”</span>
            </Command.Item>
          )}
        </Command.Group>
        <Command.Group heading="Definitions" className={heading}>
          {(known.data ?? []).map(({ job_type: type, enabled }) => (
            <Command.Item
              key={type}
              value={`definition ${type}`}
              className={item}
              onSelect={go(() => void router.navigate({ to: "/definitions/$type", params: { type } }))}
            >
              <FileCode2 aria-hidden size={15} className="text-soft" />
              <span className="min-w-0 flex-1 truncate">{type}</span>
              {!enabled && <span className="text-xs text-soft">disabled</span>}
            </Command.Item>
          ))}
        </Command.Group>
        {text.trim() !== "" && may("submitter") && (
          <Command.Group heading="Run" className={heading}>
            {(known.data ?? [])
              .filter(({ enabled }) => enabled)
              .map(({ job_type: type }) => (
                <Command.Item
                  key={type}
                  value={`run ${type}`}
                  className={item}
                  onSelect={go(
                    () => void router.navigate({ to: "/definitions/$type", params: { type }, search: { tab: "run" } }),
                  )}
                >
                  <Play aria-hidden size={15} className="text-soft" />
                  <span className="min-w-0 flex-1 truncate">Run {type}…</span>
                </Command.Item>
              ))}
          </Command.Group>
        )}
        <Command.Group heading="Actions" className={heading}>
          <Command.Item value="action show keys shortcuts" className={item} onSelect={go(onShowKeys)}>
            <Keyboard aria-hidden size={15} className="text-soft" />
            <span className="flex-1">Show the list of keys</span>
            <Caps keys="?" />
          </Command.Item>
          {(["light", "dark", "system"] as const).map((theme) => (
            <Command.Item
              key={theme}
              value={`action theme ${theme}`}
              className={item}
              onSelect={go(() => setTheme(theme))}
            >
              <Play aria-hidden size={15} className="text-soft" />
              {theme === "system" ? "Theme: as the system" : `Theme: ${theme}`}
            </Command.Item>
          ))}
          {caller?.user && (
            <Command.Item value="action sign out log out token" className={item} onSelect={go(signOut)}>
              <LogOut aria-hidden size={15} className="text-soft" />
              Sign out ({caller.user}, {caller.role})
            </Command.Item>
          )}
        </Command.Group>
      </Command.List>
      <p className="flex items-center gap-3 border-t border-line px-3 py-2 text-xs text-soft max-sm:hidden">
        <span className="inline-flex items-center gap-1">
          <CornerDownLeft aria-hidden size={12} /> opens
        </span>
        <span>↑ ↓ choose</span>
        <span>Esc closes</span>
      </p>
    </Command>
  );
}
