import { Download } from "lucide-react";
import { useState } from "react";
import type { Api } from "../../api/client";
import { download } from "../../api/files";
import { cn } from "../../ui/cn";
import { Button, bytes, Empty } from "../../ui/kit";
import { Time } from "../../ui/time";
import { toast } from "../../ui/toast";
import { Preview } from "./preview";
import { fileUrl } from "./requests";

type Artifact = Api<"ArtifactResource">;

/** The files that an attempt has left: a list, and the one that is looked at. */
export function FilesTab({
  jobId,
  attempt,
  files,
  file,
  onFile,
}: {
  jobId: string;
  attempt: number;
  files: Artifact[];
  file: string | undefined;
  onFile: (name: string) => void;
}) {
  const shown = files.find((each) => each.name === file) ?? files[0];
  if (shown === undefined)
    return (
      <Empty title="It has left no files">
        What a task is to keep is said by its <code>artifacts.paths</code>.
      </Empty>
    );
  return (
    <div className="flex flex-col gap-3 p-4">
      <ul aria-label="Files" className="max-h-56 overflow-y-auto rounded-md border border-line">
        {files.map((each) => (
          <li key={each.name} className="flex items-center border-line not-first:border-t">
            <button
              type="button"
              aria-current={each === shown}
              onClick={() => onFile(each.name)}
              className={cn(
                "flex min-h-8 min-w-0 flex-1 items-center gap-2 px-2 text-left hover:bg-raised focus-visible:-outline-offset-2",
                each === shown && "bg-accent-soft",
              )}
            >
              <span className="min-w-0 flex-1 font-mono text-xs break-all">{each.name}</span>
              <span className="text-xs whitespace-nowrap text-soft">{bytes(each.size)}</span>
            </button>
            <Save jobId={jobId} attempt={attempt} file={each} />
          </li>
        ))}
      </ul>
      <div className="flex flex-wrap items-baseline gap-x-3 text-xs text-soft">
        <span className="font-mono break-all text-text">{shown.name}</span>
        {shown.group && <span>group {shown.group}</span>}
        {shown.expires_at && !shown.expired_at && (
          <span>
            kept until <Time at={shown.expires_at} />
          </span>
        )}
        <span title={shown.digest}>BLAKE3 {shown.digest.slice(0, 12)}</span>
      </div>
      <Preview key={shown.name} jobId={jobId} attempt={attempt} file={shown} />
    </div>
  );
}

function Save({ jobId, attempt, file }: { jobId: string; attempt: number; file: Artifact }) {
  const [busy, setBusy] = useState(false);
  return (
    <Button
      look="quiet"
      className="px-2"
      aria-label={`Download ${file.name}`}
      title={file.expired_at ? "Its content is not kept any more" : "Download"}
      disabled={busy || file.expired_at != null}
      onClick={() => {
        setBusy(true);
        download(fileUrl(jobId, attempt, file.name), file.name)
          .catch((error) => toast.bad(`${file.name} could not be downloaded`, error))
          .finally(() => setBusy(false));
      }}
    >
      <Download aria-hidden size={14} />
    </Button>
  );
}
