import { Dialog } from "../ui/dialog";
import { Check } from "../ui/field";
import { caps, isMac, isOfCharacters, setCharacterKeys, useAllKeys, useCharacterKeys } from "./keys";

/** The list of keys that work on this page (`?`), and whether those of one letter do. */
export function KeyList({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const all = useAllKeys();
  const characters = useCharacterKeys();
  const mac = isMac();
  if (!open) return null;
  const groups = all
    .map((group) => ({ ...group, keys: group.keys.filter(({ keys }) => characters || !isOfCharacters(keys)) }))
    .filter(({ keys }) => keys.length > 0);
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
      <Check
        checked={characters}
        onChange={setCharacterKeys}
        hint={
          <>
            Turn them off when you dictate, or press them by mistake; this browser remembers it. <Caps keys="mod+k" />{" "}
            then has what they do, and this list.
          </>
        }
      >
        Keys of one letter
      </Check>
    </Dialog>
  );
}

/** A key as it is written on a keyboard; nothing when it is turned off. */
export function Caps({ keys, mac = isMac() }: { keys: string; mac?: boolean }) {
  const characters = useCharacterKeys();
  if (!characters && isOfCharacters(keys)) return null;
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
