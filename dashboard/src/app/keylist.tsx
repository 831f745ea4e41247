import { Dialog } from "../ui/dialog";
import { caps, isMac, useAllKeys } from "./keys";

/** The list of keys that work on this page (`?`). */
export function KeyList({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const groups = useAllKeys();
  const mac = isMac();
  if (!open) return null;
  return (
    <Dialog wide title="Keys" onClose={() => onOpenChange(false)}>
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
    </Dialog>
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
