import { X } from "lucide-react";
import { Dialog as Parts } from "radix-ui";
import { useState } from "react";
import { cn } from "./cn";
import { useFocusBack } from "./focus";
import { Button, ErrorBox } from "./kit";

/** A window above the page: it keeps the focus, Escape closes it. */
export function Dialog({
  title,
  lead,
  onClose,
  children,
  side = false,
  wide = false,
}: {
  title: React.ReactNode;
  lead?: React.ReactNode;
  onClose: () => void;
  children: React.ReactNode;
  /** At the right edge, as high as the screen: for details of something in a list. */
  side?: boolean;
  wide?: boolean;
}) {
  const focusBack = useFocusBack();
  return (
    <Parts.Root open onOpenChange={(open) => !open && onClose()}>
      <Parts.Portal>
        <Parts.Overlay className="fixed inset-0 z-40 bg-black/40" />
        <Parts.Content
          {...(lead === undefined ? { "aria-describedby": undefined } : {})}
          onCloseAutoFocus={focusBack}
          className={cn(
            "fixed z-50 flex flex-col overflow-y-auto border-line bg-panel shadow-xl",
            side
              ? "inset-y-0 right-0 w-full max-w-2xl border-l"
              : "top-1/2 left-1/2 max-h-[88dvh] w-[calc(100vw-2rem)] -translate-x-1/2 -translate-y-1/2 rounded-lg border",
            !side && (wide ? "max-w-2xl" : "max-w-lg"),
          )}
        >
          <div className="flex items-start justify-between gap-3 border-b border-line px-5 py-3">
            <div className="min-w-0">
              <Parts.Title className="text-base font-semibold break-words">{title}</Parts.Title>
              {lead !== undefined && (
                <Parts.Description asChild>
                  <div className="mt-0.5 text-soft">{lead}</div>
                </Parts.Description>
              )}
            </div>
            <Parts.Close asChild>
              <button
                type="button"
                aria-label="Close"
                className="rounded-md p-1.5 text-soft hover:bg-raised hover:text-text"
              >
                <X aria-hidden size={16} />
              </button>
            </Parts.Close>
          </div>
          <div className="flex flex-col gap-4 p-5">{children}</div>
        </Parts.Content>
      </Parts.Portal>
    </Parts.Root>
  );
}

/** A form of a dialog: sends once, says what went wrong, and leaves what was typed where it is then. */
export function DialogForm({
  action,
  send,
  onClose,
  children,
  ready = true,
  keep = "Cancel",
  danger = false,
}: {
  action: string;
  send: () => Promise<unknown>;
  onClose: () => void;
  children: React.ReactNode;
  ready?: boolean;
  /** What the button that leaves everything as it is says. */
  keep?: string;
  danger?: boolean;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await send();
    } catch (reason) {
      setError(reason);
    }
    setBusy(false);
  };
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy && ready) void submit();
      }}
    >
      {children}
      {error !== undefined && <ErrorBox error={error} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose} disabled={busy}>
          {keep}
        </Button>
        <Button type="submit" look={danger ? "danger" : "primary"} disabled={busy || !ready}>
          {busy ? "Working…" : action}
        </Button>
      </div>
    </form>
  );
}
