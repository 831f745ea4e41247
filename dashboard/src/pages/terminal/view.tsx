import "@xterm/xterm/css/xterm.css";
import "../../log/log.css";
import { Ear, Keyboard, KeyboardOff } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { type Api, headers } from "../../api/client";
import { covers } from "../../app/role";
import { leaveKey, Screen } from "../../terminal/screen";
import { whileSeen } from "../../terminal/seen";
import { Typist } from "../../terminal/typist";
import { type Output, watchOutput } from "../../terminal/watch";
import { cn } from "../../ui/cn";
import { ask } from "../../ui/confirm";
import { Button } from "../../ui/kit";
import { useShared } from "../../ui/shared";
import type { Attempt } from "../job/job";
import { logUrl } from "../job/requests";
import "./terminal.css";

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const now = () => performance.now();
const readerKey = "atta.terminal.reader";

/** A terminal to watch, and to type into for those who may. */
export function TerminalView({
  jobId,
  task,
  attempt,
  role,
}: {
  jobId: string;
  task: string;
  attempt: Attempt;
  role: Api<"Role">;
}) {
  const mayType = covers(role, "operator");
  const running = attempt.state === "RUNNING";
  const log = logUrl(jobId, attempt.number);
  const typist = useMemo(
    () =>
      new Typist(log.replace(/log$/, "terminal"), {
        fetch: (input, init) => fetch(input, init),
        headers,
        wait,
        now,
        random: Math.random,
      }),
    [log],
  );
  useShared(typist.version);
  const { typing, notice, takes } = typist;
  const [output, setOutput] = useState<Output>({ state: "loading" });
  const [system, setSystem] = useState<string>();
  const [link, setLink] = useState<string>();
  const [reader, setReader] = useState(() => localStorage.getItem(readerKey) === "on");
  const place = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const screen = useRef<Screen>(undefined);
  const readerAtFirst = useRef(reader);

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const stop = new AbortController();
    const made = new Screen(
      element,
      {
        typed: (bytes) => typist.type(bytes),
        link: setLink,
        follow: (address) => void followLink(address),
        leave: () => button.current?.focus(),
      },
      readerAtFirst.current,
    );
    screen.current = made;
    const told = { output: setOutput, system: setSystem };
    const seen = whileSeen(
      (input, init) => fetch(input, init),
      () => typist.takes,
    );
    const around = { fetch: seen, headers: headers(), wait, now };
    void watchOutput(log, { write: (bytes) => made.write(bytes), room: () => made.room() }, told, stop.signal, around);
    return () => {
      stop.abort();
      screen.current = undefined;
      made.dispose();
      delete element.dataset.fitted;
    };
  }, [typist, log]);

  // Whoever leaves the page, leaves the terminal to others.
  useEffect(() => {
    const end = () => typist.end();
    window.addEventListener("pagehide", end);
    return () => {
      window.removeEventListener("pagehide", end);
      end();
    };
  }, [typist]);

  useEffect(() => {
    screen.current?.setTyping(takes);
    if (takes) screen.current?.focus();
  }, [takes]);

  const ended = attempt.state === "FINISHED" || output.state === "ended";
  useEffect(() => {
    if (ended) typist.over();
  }, [ended, typist]);

  useEffect(() => {
    if (!takes || box.current === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(() => screen.current && typist.resize(screen.current.fit()), 100);
    });
    observer.observe(box.current);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, [takes, typist]);

  const begin = useCallback(
    async (takeOver: boolean) => {
      if (screen.current === undefined || place.current === null) return;
      // From now on the program is told how large its terminal is here.
      place.current.dataset.fitted = "";
      await typist.begin(screen.current.fit(), takeOver);
    },
    [typist],
  );
  const takeOver = async (who: string) => {
    const yes = await ask({
      title: "Take the terminal over?",
      body: (
        <>
          <p>{who}</p>
          <p className="mt-2">
            Their session ends at once, whatever they are in the middle of; what they have typed so far stays on the
            line. It is recorded that you took over.
          </p>
        </>
      ),
      action: "Take over",
      danger: true,
    });
    if (yes !== undefined) await begin(true);
  };
  const toggleReader = () => {
    localStorage.setItem(readerKey, reader ? "off" : "on");
    screen.current?.setReader(!reader);
    setReader(!reader);
  };

  return (
    <>
      <p className="mb-2 max-w-prose text-xs text-soft">
        What the program prints is kept in the log of the attempt. What is typed is kept in the audit log, with the name
        of whoever typed it. Secrets that Atta knows are masked in both; a password that it does not know is not.
      </p>
      <div className="mb-2 flex flex-wrap items-center gap-2">
        {takes || typing.state === "opening" ? (
          <Button ref={button} onClick={() => typist.end()}>
            <KeyboardOff aria-hidden size={14} /> Stop typing
          </Button>
        ) : (
          <Button
            ref={button}
            look="primary"
            disabled={!mayType || !running || ended || output.state !== "live"}
            onClick={() => void begin(false)}
          >
            <Keyboard aria-hidden size={14} /> Type
          </Button>
        )}
        {typing.state === "in_use" && (
          <Button look="danger" onClick={() => void takeOver(typing.message)}>
            Take over…
          </Button>
        )}
        <Button
          look="quiet"
          aria-pressed={reader}
          className={cn(reader && "bg-accent-soft text-accent")}
          onClick={toggleReader}
        >
          <Ear aria-hidden size={14} /> For screen readers
        </Button>
        <p
          role="status"
          className={cn("min-w-0 flex-1 basis-60 break-words", isGrave(typist) ? "text-ask" : "text-soft")}
        >
          {ended
            ? "The attempt has ended; this is what it printed."
            : !mayType
              ? `Read-only: to type, the role operator is needed; you have ${role}.`
              : !running
                ? "The attempt does not run yet."
                : words(typist)}
        </p>
      </div>
      <div
        ref={box}
        className="terminal-box min-h-0 flex-1 overflow-auto rounded-lg border border-line bg-panel p-2"
        data-typing={takes ? "" : undefined}
      >
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would say that this is a form */}
        <div ref={place} role="group" aria-label={`Terminal of ${task}`} className="terminal-place" />
      </div>
      <div className="mt-1 flex min-h-5 flex-wrap justify-between gap-x-4 text-xs text-soft">
        <span className="min-w-0 break-all">{link ?? system}</span>
        <span role="status">
          {notice && <span className="mr-3 text-ask">{notice}</span>}
          {output.state === "reconnecting"
            ? "Connection lost; going on where it was…"
            : output.state === "loading"
              ? "Loading…"
              : output.state === "failed"
                ? output.message
                : output.state === "live"
                  ? "Live"
                  : ""}
        </span>
      </div>
    </>
  );
}

const isGrave = ({ typing: { state } }: Typist) => state === "in_use" || state === "ended" || state === "reconnecting";

function words({ typing }: Typist): string {
  switch (typing.state) {
    case "reading":
      return "Read-only: no key reaches the program.";
    case "opening":
      return "Asking to type…";
    case "typing":
      return `You are typing: every key goes to the program, Tab too. ${leaveKey} leaves the terminal.`;
    case "reconnecting":
      return "The server does not answer. What you type is kept, and sent when it does.";
    case "in_use":
    case "ended":
      return typing.message;
  }
}

/** The text of a link can say another address than the one it leads to: the program has written both. */
async function followLink(address: string) {
  await ask({
    title: "Open this address?",
    body: (
      <>
        <p>The program in the terminal has written a link. It leads to</p>
        <p className="mt-1 font-mono break-all">{address}</p>
      </>
    ),
    action: "Open it",
    run: async () => void window.open(address, "_blank", "noopener,noreferrer"),
  });
}
