import { ChevronDown, ChevronRight } from "lucide-react";
import { useMemo, useState } from "react";
import { cn } from "../../ui/cn";
import { Empty } from "../../ui/kit";
import { type FileDiff, readDiff } from "./diff";

/** So many lines of a file are shown at once; the rest on demand. */
const most = 600;

/** A patch: its files with their counts, and what changed in each. */
export function DiffView({ text }: { text: string }) {
  const files = useMemo(() => readDiff(text), [text]);
  if (files.length === 0)
    return (
      <Empty title={text.trim() === "" ? "Nothing changed" : "This is no patch"}>
        {text.trim() === "" ? "The patch is empty." : "Its text can be downloaded."}
      </Empty>
    );
  const added = files.reduce((sum, file) => sum + file.added, 0);
  const removed = files.reduce((sum, file) => sum + file.removed, 0);
  return (
    <div className="flex flex-col gap-2">
      <p className="text-soft">
        {files.length} {files.length === 1 ? "file" : "files"} changed, <Counts added={added} removed={removed} />
      </p>
      {files.map((file, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a patch may name a file twice, and does not change
        <FileBox key={index} file={file} open={files.length <= 12 && file.added + file.removed <= 400} />
      ))}
    </div>
  );
}

export function Counts({ added, removed }: { added: number; removed: number }) {
  return (
    <span className="font-mono text-xs whitespace-nowrap">
      <span className="text-ok">+{added}</span> <span className="text-bad">−{removed}</span>
    </span>
  );
}

function FileBox({ file, open: first }: { file: FileDiff; open: boolean }) {
  const [open, setOpen] = useState(first);
  const [all, setAll] = useState(false);
  const Arrow = open ? ChevronDown : ChevronRight;
  const lines = file.hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  let left = all ? Number.POSITIVE_INFINITY : most;
  return (
    <section className="min-w-0 overflow-hidden rounded-md border border-line">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex w-full items-center gap-2 bg-raised px-2 py-1 text-left"
      >
        <Arrow aria-hidden size={14} className="shrink-0" />
        <span className="min-w-0 flex-1 font-mono text-xs break-all">
          {file.from && file.from !== file.path ? `${file.from} → ` : ""}
          {file.path}
        </span>
        {file.kind !== "changed" && <span className="text-xs text-soft">{file.kind}</span>}
        <Counts added={file.added} removed={file.removed} />
      </button>
      {open && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
        <section tabIndex={0} aria-label={`Changes of ${file.path}`} className="overflow-x-auto font-mono text-xs">
          <table className="w-full border-collapse">
            <tbody>
              {file.hunks.map((hunk, index) => {
                const shown = hunk.lines.slice(0, Math.max(0, left));
                left -= hunk.lines.length;
                return [
                  // biome-ignore lint/suspicious/noArrayIndexKey: a patch does not change
                  <tr key={index} className="bg-run-soft text-run">
                    <td colSpan={3} className="px-2 py-0.5 whitespace-pre">
                      {hunk.header}
                    </td>
                  </tr>,
                  ...shown.map((line, at) => (
                    <tr
                      // biome-ignore lint/suspicious/noArrayIndexKey: a patch does not change
                      key={`${index} ${at}`}
                      className={cn(
                        line.kind === "added" && "bg-ok-soft",
                        line.kind === "removed" && "bg-bad-soft",
                        line.kind === "note" && "text-soft italic",
                      )}
                    >
                      <td className="w-10 px-1 text-right text-soft select-none">{line.before}</td>
                      <td className="w-10 px-1 text-right text-soft select-none">{line.after}</td>
                      <td className="px-1 whitespace-pre">
                        <span aria-hidden className="inline-block w-3 select-none">
                          {line.kind === "added" ? "+" : line.kind === "removed" ? "−" : " "}
                        </span>
                        {line.kind === "added" && <span className="sr-only">added: </span>}
                        {line.kind === "removed" && <span className="sr-only">removed: </span>}
                        {line.text}
                      </td>
                    </tr>
                  )),
                ];
              })}
            </tbody>
          </table>
          {file.hunks.length === 0 && <p className="p-2 text-soft">Nothing of its text is in the patch.</p>}
          {!all && lines > most && (
            <button type="button" className="w-full p-2 text-accent" onClick={() => setAll(true)}>
              Show the other {lines - most} lines
            </button>
          )}
        </section>
      )}
    </section>
  );
}
