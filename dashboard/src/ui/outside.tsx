import { ExternalLink } from "lucide-react";
import { cn } from "./cn";

/** A link that leaves the dashboard; of an address that is none of the web, only its text. */
export function Outside({ url, text, className }: { url: string; text: string; className?: string }) {
  if (!/^https?:\/\//i.test(url)) return <span className="break-all">{text}</span>;
  return (
    <a
      href={url}
      target="_blank"
      rel="noopener noreferrer"
      className={cn("inline-flex min-w-0 items-center gap-1 text-accent hover:underline", className)}
    >
      <span className="truncate">{text}</span>
      <ExternalLink aria-hidden size={11} className="shrink-0" />
      <span className="sr-only">(opens another site)</span>
    </a>
  );
}
