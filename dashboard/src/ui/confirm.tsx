import { AlertDialog } from "radix-ui";
import { useState } from "react";
import { cn } from "./cn";
import { useFocusBack } from "./focus";
import { Button, ErrorBox, input } from "./kit";
import { Shared, useShared } from "./shared";
import { toast } from "./toast";

export interface Question {
  /** What will be done, as a question: "Cancel this job?" */
  title: string;
  /** What follows from it. */
  body: React.ReactNode;
  /** What the button says: the verb, not "OK". */
  action: string;
  /** What the button that leaves everything as it is says. */
  keep?: string;
  danger?: boolean;
  /** A text that goes with it: a reason, a comment. */
  field?: { label: string; required?: boolean; placeholder?: string; initial?: string };
  /** Does it, while the dialog waits. If this fails, the dialog says why and stays. */
  run?: (text: string) => Promise<unknown>;
  /** What is said when it is done. */
  done?: string;
}

interface Asked extends Question {
  id: number;
  answer: (text: string | undefined) => void;
}

const asked = new Shared<Asked | undefined>(undefined);
let last = 0;

/** Asks before something is done. Gives the text of the field (or ""), or undefined if nothing is to be done. */
export function ask(question: Question): Promise<string | undefined> {
  asked.get()?.answer(undefined);
  return new Promise((answer) => {
    last++;
    asked.set({ ...question, id: last, answer });
  });
}

/** Asks before something is done. True when it is to be done (with `run`: when it was done). */
export async function confirm(question: Question): Promise<boolean> {
  return (await ask(question)) !== undefined;
}

/** Where the questions appear. There is one, in the shell. */
export function Confirmer() {
  const question = useShared(asked);
  if (question === undefined) return null;
  return <Dialog key={question.id} question={question} />;
}

function Dialog({ question }: { question: Asked }) {
  const { title, body, action, keep = "Leave it", danger = false, field, run, done, answer } = question;
  const [text, setText] = useState(field?.initial ?? "");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const missing = field?.required === true && text.trim() === "";
  const focusBack = useFocusBack();

  const close = (result: string | undefined) => {
    asked.set(undefined);
    answer(result);
  };
  const act = async () => {
    if (busy || missing) return;
    setBusy(true);
    setError(undefined);
    try {
      await run?.(text.trim());
    } catch (reason) {
      setError(reason);
      setBusy(false);
      return;
    }
    close(text.trim());
    if (done !== undefined) toast.ok(done);
  };

  return (
    <AlertDialog.Root open onOpenChange={(open) => !open && !busy && close(undefined)}>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="fixed inset-0 z-40 bg-black/40" />
        <AlertDialog.Content
          onCloseAutoFocus={focusBack}
          className="fixed top-1/2 left-1/2 z-50 flex max-h-[85dvh] w-[calc(100vw-2rem)] max-w-md -translate-x-1/2 -translate-y-1/2 flex-col gap-3 overflow-y-auto rounded-lg border border-line bg-panel p-5 shadow-xl"
        >
          <AlertDialog.Title className="text-base font-semibold break-words">{title}</AlertDialog.Title>
          <AlertDialog.Description asChild>
            <div className="break-words text-soft">{body}</div>
          </AlertDialog.Description>
          <form
            className="flex flex-col gap-3"
            onSubmit={(event) => {
              event.preventDefault();
              void act();
            }}
          >
            {field && (
              <label className="flex flex-col gap-1">
                <span className="font-medium">
                  {field.label}
                  {field.required !== true && <span className="font-normal text-soft"> (if you like)</span>}
                </span>
                <textarea
                  className={cn(input, "min-h-16 resize-y")}
                  value={text}
                  disabled={busy}
                  required={field.required === true}
                  placeholder={field.placeholder}
                  onChange={(event) => setText(event.target.value)}
                  onKeyDown={(event) => {
                    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) void act();
                  }}
                />
              </label>
            )}
            {error !== undefined && <ErrorBox error={error} />}
            <div className="flex flex-wrap justify-end gap-2">
              <AlertDialog.Cancel asChild>
                <Button disabled={busy}>{keep}</Button>
              </AlertDialog.Cancel>
              <Button
                type="submit"
                look={danger ? "danger" : "primary"}
                className={cn(danger && "border-bad")}
                disabled={busy || missing}
              >
                {busy ? "Working…" : action}
              </Button>
            </div>
          </form>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
