import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { cn } from "../../ui/cn";
import { Dialog, DialogForm } from "../../ui/dialog";
import { Check, Field, TextField } from "../../ui/field";
import { input } from "../../ui/kit";
import { toast } from "../../ui/toast";
import { read } from "./read";

type Config = Api<"ConfigResource">;

/** Sets a config or a secret, a new one or one that is there. */
export function SetConfig({
  definition,
  what,
  existing,
  onClose,
  refresh,
}: {
  /** Whose it is; the organisation's without. */
  definition: string;
  what: Config | "config" | "secret";
  existing: readonly string[];
  onClose: () => void;
  refresh: () => Promise<void>;
}) {
  const before = typeof what === "string" ? undefined : what;
  const secret = before === undefined ? what === "secret" : before.secret;
  const noun = secret ? "secret" : "config";
  const [name, setName] = useState(before?.name ?? "");
  const [text, setText] = useState(() =>
    before === undefined || secret
      ? ""
      : typeof before.value === "string"
        ? before.value
        : JSON.stringify(before.value, null, 2),
  );
  const [json, setJson] = useState(before !== undefined && !secret && typeof before.value !== "string");
  const [short, setShort] = useState(false);
  const taken = before === undefined && existing.includes(name);
  const good = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);

  const send = async () => {
    const body = { value: read(text, json), secret, ...(short ? { allow_short: true } : {}) };
    await (definition === ""
      ? data(api.PUT("/api/v1/configs/{name}", { params: { path: { name } }, body }))
      : data(
          api.PUT("/api/v1/definitions/{job_type}/configs/{name}", {
            params: { path: { job_type: definition, name } },
            body,
          }),
        ));
    await refresh();
    toast.ok(`${name} is set.`);
    onClose();
  };
  return (
    <Dialog
      title={before === undefined ? `New ${noun}` : `Replace ${before.name}`}
      lead={
        <>
          It belongs to {definition === "" ? "the organisation" : <b className="break-all">{definition}</b>}. What runs
          keeps the value that it was given; what starts from now on gets this one.
        </>
      }
      onClose={onClose}
    >
      <DialogForm
        action={before === undefined ? "Set" : "Replace"}
        onClose={onClose}
        send={send}
        ready={good && !taken}
      >
        <TextField
          label="Name"
          required
          disabled={before !== undefined}
          value={name}
          onText={setName}
          aria-invalid={name !== "" && (!good || taken)}
          hint={
            taken
              ? "There is one with this name: replace that."
              : name !== "" && !good
                ? "Only letters, digits and _ are allowed, and no digit at the beginning."
                : "Letters, digits and _."
          }
        />
        <Field
          label={secret && before !== undefined ? "New value" : "Value"}
          hint={
            secret
              ? "It is encrypted, never shown again, and *** in logs. At most 64 KiB."
              : "Everybody who may look can see it. At most 64 KiB."
          }
        >
          {(ids) => (
            <textarea
              {...ids}
              className={cn(
                input,
                "min-h-24 resize-y font-mono",
                secret && "[-webkit-text-security:disc] focus:[-webkit-text-security:none]",
              )}
              autoComplete="off"
              spellCheck={false}
              required={secret}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
        {secret ? (
          <Check
            checked={short}
            onChange={setShort}
            hint="So short a value is only hidden in logs where it stands as a word of its own."
          >
            Accept fewer than 6 bytes
          </Check>
        ) : (
          <Check checked={json} onChange={setJson}>
            The value is JSON (a number, a list, an object)
          </Check>
        )}
      </DialogForm>
    </Dialog>
  );
}
