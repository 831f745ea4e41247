import { useId } from "react";
import { cn } from "./cn";
import { Button, ErrorBox, input } from "./kit";

/** A control with its label above, and what helps to fill it in below. */
export function Field({
  label,
  hint,
  children,
  className,
}: {
  label: string;
  hint?: React.ReactNode;
  children: (ids: { id: string; "aria-describedby"?: string }) => React.ReactNode;
  className?: string;
}) {
  const id = useId();
  return (
    <div className={cn("flex min-w-0 flex-col gap-1", className)}>
      <label htmlFor={id} className="text-xs font-medium text-soft">
        {label}
      </label>
      {children(hint === undefined ? { id } : { id, "aria-describedby": `${id}-hint` })}
      {hint !== undefined && (
        <div id={`${id}-hint`} className="text-xs text-soft">
          {hint}
        </div>
      )}
    </div>
  );
}

export function Select({
  label,
  value,
  options,
  onChange,
  className,
  hint,
}: {
  label: string;
  value: string;
  /** Values with their texts; a value alone is its own text. */
  options: readonly (string | readonly [value: string, text: string])[];
  onChange: (value: string) => void;
  className?: string;
  hint?: React.ReactNode;
}) {
  return (
    <Field label={label} hint={hint} {...(className === undefined ? {} : { className })}>
      {(ids) => (
        <select
          {...ids}
          className={cn(input, "max-w-full")}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        >
          {options.map((option) => {
            const [each, text] = typeof option === "string" ? [option, option] : option;
            return (
              <option key={each} value={each}>
                {text}
              </option>
            );
          })}
        </select>
      )}
    </Field>
  );
}

export function TextField({
  label,
  hint,
  className,
  onText,
  ...rest
}: Omit<React.ComponentProps<"input">, "onChange"> & {
  label: string;
  hint?: React.ReactNode;
  onText: (text: string) => void;
}) {
  return (
    <Field label={label} hint={hint} {...(className === undefined ? {} : { className })}>
      {(ids) => (
        <input
          autoComplete="off"
          spellCheck={false}
          {...rest}
          {...ids}
          className={input}
          onChange={(event) => onText(event.target.value)}
        />
      )}
    </Field>
  );
}

/** Something that is so or not. */
export function Check({
  checked,
  onChange,
  hint,
  children,
}: {
  checked: boolean;
  onChange: (checked: boolean) => void;
  hint?: React.ReactNode;
  children: React.ReactNode;
}) {
  return (
    <label className="inline-flex min-h-target items-start gap-2">
      <input
        type="checkbox"
        className="mt-0.5 size-4 shrink-0 accent-(--accent)"
        checked={checked}
        onChange={(event) => onChange(event.target.checked)}
      />
      <span className="min-w-0">
        {children}
        {hint !== undefined && <span className="block text-xs text-soft">{hint}</span>}
      </span>
    </label>
  );
}

/** Controls in a row that narrow what is shown below. */
export function FilterBar({ children, label }: { children: React.ReactNode; label: string }) {
  return (
    <search aria-label={label} className="mb-4 flex flex-wrap items-end gap-3">
      {children}
    </search>
  );
}

/** Names and values. */
export function Facts({ rows }: { rows: readonly (readonly [name: string, value: React.ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1">
      {rows
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-soft">{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** A text as it came, in a box that scrolls. */
export function Source({ text, label }: { text: string; label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by keyboard (axe: scrollable-region-focusable)
    <section aria-label={label} tabIndex={0} className="max-h-96 overflow-auto rounded-md border border-line bg-raised">
      <pre className="p-3 font-mono text-xs whitespace-pre-wrap break-words">{text}</pre>
    </section>
  );
}

interface More {
  isFetchNextPageError: boolean;
  error: unknown;
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

/** Below a list that comes in pages. */
export function ShowMore({ query }: { query: More }) {
  if (query.isFetchNextPageError) {
    return (
      <div className="p-3">
        <ErrorBox error={query.error} retry={() => void query.fetchNextPage()} />
      </div>
    );
  }
  if (!query.hasNextPage) return null;
  return (
    <div className="border-t border-line p-2 text-center">
      <Button look="quiet" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {query.isFetchingNextPage ? "Loading…" : "Show more"}
      </Button>
    </div>
  );
}
