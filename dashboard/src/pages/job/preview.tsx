import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Button, bytes, Empty, Loaded } from "../../ui/kit";
import { Markdown } from "../../ui/markdown";
import { pretty } from "../../ui/pretty";
import { looksLikeDiff } from "./diff";
import { DiffView } from "./diff-view";
import { fileQuery, fileTextQuery } from "./requests";

const mostText = 2 << 20;
const mostPicture = 16 << 20;
const mostLines = 3000;

export type FileKind = "diff" | "markdown" | "json" | "picture" | "text" | "other";

/** How a file can be shown, by its name. Pictures that could hold scripts are shown as pictures only. */
export function kindOf(name: string): FileKind {
  if (looksLikeDiff(name)) return "diff";
  if (/\.(md|markdown)$/i.test(name)) return "markdown";
  if (/\.json$/i.test(name)) return "json";
  if (/\.(png|jpe?g|gif|webp|avif|bmp|ico|svg)$/i.test(name)) return "picture";
  if (
    /\.(zip|gz|xz|zst|bz2|tar|tgz|7z|jar|whl|deb|rpm|exe|dll|so|o|a|bin|bundle|pdf|woff2?|ttf|mp[34]|wasm|sqlite|db)$/i.test(
      name,
    )
  )
    return "other";
  return "text";
}

const types: Record<string, string> = { svg: "image/svg+xml", jpg: "image/jpeg", ico: "image/x-icon" };

export interface PreviewFile {
  name: string;
  size: number;
  expired_at?: string | null | undefined;
}

/** A file of an attempt, as it can be read. */
export function Preview({ jobId, attempt, file }: { jobId: string; attempt: number; file: PreviewFile }) {
  const kind = kindOf(file.name);
  if (file.expired_at) return <Empty title="Its content is not kept any more">It had its time to live.</Empty>;
  if (file.size === 0) return <Empty title="This file is empty" />;
  if (kind === "other") return <Empty title="No preview for this kind of file">Download it to look at it.</Empty>;
  if (file.size > (kind === "picture" ? mostPicture : mostText))
    return <Empty title="Too large to be shown here">It has {bytes(file.size)}: download it to look at it.</Empty>;
  if (kind === "picture") return <Picture key={file.name} jobId={jobId} attempt={attempt} name={file.name} />;
  return <Text jobId={jobId} attempt={attempt} name={file.name} kind={kind} />;
}

function Picture({ jobId, attempt, name }: { jobId: string; attempt: number; name: string }) {
  const query = useQuery(fileQuery(jobId, attempt, name));
  const [url, setUrl] = useState<string>();
  const [broken, setBroken] = useState(false);
  const blob = query.data;
  useEffect(() => {
    if (blob === undefined) return;
    const end = name.split(".").at(-1)?.toLowerCase() ?? "";
    const address = URL.createObjectURL(new Blob([blob], { type: types[end] ?? `image/${end}` }));
    setUrl(address);
    return () => URL.revokeObjectURL(address);
  }, [blob, name]);
  return (
    <Loaded query={query}>
      {() =>
        broken ? (
          <Empty title="This is no picture that the browser can show" />
        ) : (
          url && (
            <img
              src={url}
              alt={name}
              className="max-h-[70vh] max-w-full rounded border border-line"
              onError={() => setBroken(true)}
            />
          )
        )
      }
    </Loaded>
  );
}

function Text({ jobId, attempt, name, kind }: { jobId: string; attempt: number; name: string; kind: FileKind }) {
  const query = useQuery(fileTextQuery(jobId, attempt, name));
  return (
    <Loaded query={query}>
      {(text) =>
        kind === "diff" ? (
          <DiffView text={text} />
        ) : kind === "markdown" ? (
          <Markdown text={text} />
        ) : text.includes("\0") ? (
          <Empty title="No preview for this kind of file">Download it to look at it.</Empty>
        ) : (
          <Plain text={text} json={kind === "json"} />
        )
      }
    </Loaded>
  );
}

/** A text, or JSON set out; the first lines of a long one. */
export function Plain({ text, json = false }: { text: string; json?: boolean }) {
  const [all, setAll] = useState(false);
  const lines = useMemo(() => {
    const shown = json ? pretty(text) : text;
    return shown.replace(/\n$/, "").split("\n");
  }, [text, json]);
  return (
    <div className="min-w-0">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <pre tabIndex={0} className="max-h-[70vh] overflow-auto rounded-md bg-raised p-3 font-mono text-xs">
        {(all ? lines : lines.slice(0, mostLines)).join("\n")}
      </pre>
      {!all && lines.length > mostLines && (
        <Button className="mt-2" onClick={() => setAll(true)}>
          Show all {lines.length.toLocaleString("en")} lines
        </Button>
      )}
    </div>
  );
}
