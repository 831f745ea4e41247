import { X } from "lucide-react";
import { Dialog } from "radix-ui";
import { caps, isMac, useAllKeys } from "./keys";

/** The list of keys that work on this page (`?`). */
export function KeyList({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const groups = useAllKeys();
  const mac = isMac();
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 bg-black/40" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed top-1/2 left-1/2 z-50 max-h-[85dvh] w-[calc(100vw-2rem)] max-w-2xl -translate-x-1/2 -translate-y-1/2 overflow-y-auto rounded-lg border border-line bg-panel p-5 shadow-xl"
        >
          <div className="mb-3 flex items-center justify-between">
            <Dialog.Title className="text-base font-semibold">Keys</Dialog.Title>
            <Dialog.Close aria-label="Close" className="rounded-md p-1.5 text-soft hover:bg-raised hover:text-text">
              <X aria-hidden size={16} />
            </Dialog.Close>
          </div>
          <div className="gap-x-8 sm:columns-2">
            {groups.map((group) => (
              <section key={group.title} className="mb-4">
                <h3 className="mb-1 text-xs font-medium text-soft">{group.title}</h3>
                <dl className="divide-y divide-line">
                  {group.keys.map((key) => (
                    <div key={key.keys} className="flex items-center justify-between gap-4 py-1.5">
                      <dt>{key.label}</dt>
                      <dd className="shrink-0">
                        <Caps keys={key.keys} mac={mac} />
                      </dd>
                    </div>
                  ))}
                </dl>
              </section>
            ))}
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** A key as it is written on a keyboard. */
export function Caps({ keys, mac = isMac() }: { keys: string; mac?: boolean }) {
  return (
    <span className="inline-flex items-center gap-1 text-xs text-soft">
      {caps(keys, mac).map((step, index) => (
        <span key={step.join("+")} className="inline-flex items-center gap-0.5">
          {index > 0 && <span className="pr-0.5">then</span>}
          {step.map((cap) => (
            <kbd key={cap} className="rounded border border-line bg-raised px-1.5 py-px font-mono">
              {cap}
            </kbd>
          ))}
        </span>
      ))}
    </span>
  );
}
