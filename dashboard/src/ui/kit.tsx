import type { UseQueryResult } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { useEffect } from "react";
import { ApiError } from "../api/client";
import { cn } from "./cn";
import { setPageTitle } from "./tab";

type ButtonLook = "plain" | "primary" | "danger" | "quiet";

const buttons: Record<ButtonLook, string> = {
  plain: "border border-line bg-panel hover:bg-raised",
  primary: "bg-accent text-on-accent hover:opacity-90",
  danger: "border border-line bg-panel text-bad hover:bg-bad-soft",
  quiet: "text-soft hover:bg-raised hover:text-text",
};

export function Button({ look = "plain", className, ...rest }: React.ComponentProps<"button"> & { look?: ButtonLook }) {
  return (
    <button
      type="button"
      {...rest}
      className={cn(
        "inline-flex min-h-8 items-center justify-center gap-1.5 rounded-md px-3 py-1 text-sm font-medium whitespace-nowrap disabled:opacity-50",
        buttons[look],
        className,
      )}
    />
  );
}

/** A page's heading; sets the title of the tab as well. */
export function PageHeader({
  title,
  lead,
  children,
}: {
  title: string;
  lead?: React.ReactNode;
  children?: React.ReactNode;
}) {
  useTitle(title);
  return (
    <header className="mb-4 flex flex-wrap items-start justify-between gap-3">
      <div className="min-w-0">
        <h1 className="text-xl font-semibold break-words">{title}</h1>
        {lead && <div className="mt-0.5 text-soft">{lead}</div>}
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </header>
  );
}

export function useTitle(title: string) {
  useEffect(() => {
    setPageTitle(title);
  }, [title]);
}

/** A part of a page with a heading of its own. */
export function Panel({
  title,
  actions,
  children,
  flush = false,
  className,
}: {
  title?: React.ReactNode;
  actions?: React.ReactNode;
  children: React.ReactNode;
  /** Without padding: for tables and lists that reach the edge. */
  flush?: boolean;
  className?: string;
}) {
  return (
    <section className={cn("min-w-0 rounded-lg border border-line bg-panel", className)}>
      {(title || actions) && (
        <div className="flex items-center justify-between gap-2 border-b border-line px-4 py-2">
          <h2 className="font-semibold">{title}</h2>
          {actions}
        </div>
      )}
      <div className={cn(!flush && "p-4")}>{children}</div>
    </section>
  );
}

/** What a page says when it has nothing to show: why, and what to do next. */
export function Empty({ title, children }: { title: string; children?: React.ReactNode }) {
  return (
    <div className="px-4 py-8 text-center">
      <p className="font-medium">{title}</p>
      {children && <div className="mx-auto mt-1 max-w-prose text-soft">{children}</div>}
    </div>
  );
}

/** What went wrong, in the server's words, with its code, the fields at fault and the id of the request. */
export function ErrorBox({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : undefined;
  return (
    <div role="alert" className="flex gap-2 rounded-md border border-line bg-bad-soft p-3 text-bad">
      <CircleAlert aria-hidden size={16} className="mt-0.5 shrink-0" />
      <div className="min-w-0 break-words">
        <p>{error instanceof Error ? error.message : String(error)}</p>
        {problem?.field_violations && problem.field_violations.length > 0 && (
          <ul className="mt-1 list-disc pl-5">
            {problem.field_violations.map((each) => (
              <li key={`${each.field} ${each.message}`}>
                <code>{each.field}</code>: {each.message}
              </li>
            ))}
          </ul>
        )}
        {retry && (
          <Button className="mt-2" onClick={retry}>
            Try again
          </Button>
        )}
      </div>
    </div>
  );
}

/** Said above what was answered before: it may be out of date, whatever the connection is said to be. */
export function OutOfDate({ error, retry }: { error: unknown; retry: () => void }) {
  return (
    <div
      role="status"
      className="mb-2 flex flex-wrap items-center gap-2 rounded-md border border-line bg-ask-soft px-3 py-1.5 text-ask"
    >
      <CircleAlert aria-hidden size={16} className="shrink-0" />
      <span className="min-w-0 break-words">
        This could not be asked for again: {error instanceof Error ? error.message : String(error)}
      </span>
      <Button onClick={retry}>Try again</Button>
    </div>
  );
}

/**
 * Shows a query: its data, or that it is being fetched, or its error. Data that is there stays while it is fetched anew, and
 * when that fails, which is said.
 */
export function Loaded<T>({
  query,
  children,
}: {
  query: Pick<UseQueryResult<T>, "data" | "isError" | "error"> & {
    refetch: () => unknown;
    isFetchNextPageError?: boolean;
  };
  children: (data: T) => React.ReactNode;
}) {
  if (query.data !== undefined) {
    // That there is no more of a list is said at its end.
    const outOfDate = query.isError && query.isFetchNextPageError !== true;
    return (
      <>
        {outOfDate && <OutOfDate error={query.error} retry={() => void query.refetch()} />}
        {children(query.data)}
      </>
    );
  }
  if (query.isError) return <ErrorBox error={query.error} retry={() => void query.refetch()} />;
  return <Busy />;
}

export function Busy({ label = "Loading" }: { label?: string }) {
  return (
    <div role="status" className="animate-pulse p-4 text-soft">
      {label}…
    </div>
  );
}

/** Micro-dollars, cents and less: as many digits as say something. Unknown is a dash, never 0. */
export function money(usd: number | null | undefined): string {
  if (usd == null) return "–";
  if (usd !== 0 && Math.abs(usd) < 0.01) return `$${usd.toFixed(4)}`;
  return `$${usd.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** A count with separators; "12.3k" from ten thousand on. */
export function count(value: number | null | undefined): string {
  if (value == null) return "–";
  return value < 10_000
    ? value.toLocaleString("en")
    : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** Bytes in binary units. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

/** A table that scrolls sideways in its own box when the screen is narrow. */
export function Table({
  head,
  children,
  label,
}: {
  head: React.ReactNode[];
  children: React.ReactNode;
  label: string;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by keyboard (axe: scrollable-region-focusable)
    <section className="relative overflow-x-auto" tabIndex={0} aria-label={label}>
      <table className="w-full text-left">
        <thead className="text-xs text-soft">
          <tr>
            {head.map((each, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns do not move
              <th key={index} scope="col" className="border-b border-line px-4 py-2 font-medium whitespace-nowrap">
                {each}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">{children}</tbody>
      </table>
    </section>
  );
}

export function Cell({ className, ...rest }: React.ComponentProps<"td">) {
  return <td {...rest} className={cn("px-4 py-2 align-top", className)} />;
}

export const input =
  "min-h-8 rounded-md border border-strong bg-panel px-2 py-1 text-sm text-text placeholder:text-soft disabled:opacity-50";
