import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { setTab } from "../ui/tab";
import { useLive } from "./context";
import { useHidden } from "./hidden";
import { hideKey, type Need, needs } from "./inbox";
import { notify, useNotices } from "./notices";
import { activeJobs, blockedJobs, jobCounts, openApprovals } from "./overview";
import { type Ended, endOf, favicon, noteOfEnded, noteOfNeeds, prefix } from "./status";

/** Many jobs that end within this time are one notification. */
const together = 2000;

/** How many things need somebody; undefined until it is known. */
export function useNeedCount(): number | undefined {
  const counts = useQuery(jobCounts).data?.needs;
  const hidden = useHidden();
  const listed = useQuery({ ...blockedJobs, enabled: hidden.size > 0 }).data?.items;
  // Only what is listed can be hidden; there may be more than that.
  const away = hidden.size > 0 ? listed?.filter((job) => hidden.has(hideKey(job))).length : 0;
  if (counts === undefined || away === undefined) return undefined;
  // The two are not of the same moment.
  return counts.approvals + counts.budgets + counts.paused + Math.max(0, counts.blocked - away);
}

/** What needs somebody, as far as it is known and somebody wants to be told; undefined until then. */
function useNeeds(enabled: boolean): Need[] | undefined {
  const active = useQuery({ ...activeJobs, enabled }).data;
  const blocked = useQuery({ ...blockedJobs, enabled }).data;
  const approvals = useQuery({ ...openApprovals, enabled }).data;
  const hidden = useHidden();
  return useMemo(
    () =>
      enabled && active && blocked && approvals
        ? needs(approvals.items, active.items, blocked.items, hidden)
        : undefined,
    [enabled, active, blocked, approvals, hidden],
  );
}

/** Watches over all jobs for the tab: its title, its picture, and the browser's notifications. Shows nothing. */
export function Watcher() {
  const states = useQuery(jobCounts).data?.states ?? {};
  const failed = useFailures();
  const running = (states.RUNNING ?? 0) + (states.CANCELLING ?? 0);
  const figures = { running, needs: useNeedCount() ?? 0, failed };
  const text = prefix(figures);
  const picture = favicon(figures);

  useEffect(() => setTab(text, picture), [text, picture]);
  useNeedNotes();
  return null;
}

/** Counts jobs that failed while the page was not looked at, and tells of those that ended. */
function useFailures(): number {
  const live = useLive();
  const queries = useQueryClient();
  const router = useRouter();
  const level = useNotices();
  const [failed, setFailed] = useState(0);

  useEffect(() => {
    const seen = () => document.visibilityState === "visible" && setFailed(0);
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, []);

  useEffect(() => {
    const began = Date.now();
    let ended: Ended[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = live.listen((event) => {
      const state = endOf(event);
      // What is told again after a time without connection is no news after all that time.
      if (state === undefined || Date.parse(event.at) < began || document.visibilityState === "visible") return;
      if (state === "FAILED") setFailed((before) => before + 1);
      if (level !== "all") return;
      const known = queries.getQueryData(activeJobs.queryKey)?.items.find((job) => job.job_id === event.job_id);
      ended.push({ id: event.job_id, name: known?.job_type ?? event.job_id, state });
      timer ??= setTimeout(() => {
        timer = undefined;
        notify(noteOfEnded(ended), (to) => void router.navigate({ to }));
        ended = [];
      }, together);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [live, queries, router, level]);
  return failed;
}

/** Tells of what did not need somebody a moment ago. */
function useNeedNotes() {
  const known = useRef<Set<string>>(undefined);
  const router = useRouter();
  const level = useNotices();
  const wanted = useNeeds(level !== "off");
  useEffect(() => {
    if (wanted === undefined) return;
    const before = known.current;
    known.current = new Set(wanted.map((need) => `${need.kind} ${need.id}`));
    if (before === undefined || level === "off") return;
    const fresh = wanted.filter((need) => !before.has(`${need.kind} ${need.id}`));
    if (document.visibilityState !== "visible") {
      notify(noteOfNeeds(fresh.map(told)), (to) => void router.navigate({ to }));
    }
  }, [wanted, level, router]);
}

function told(need: Need): string {
  if (need.kind === "approval") {
    return need.approval.message ?? `${need.approval.task} of ${need.approval.job_type} asks for approval.`;
  }
  const words = { blocked: "is blocked", budget: "has used up its budget", paused: "is paused" };
  return `${need.job.job_type} ${words[need.kind]}`;
}
