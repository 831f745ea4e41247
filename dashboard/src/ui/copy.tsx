import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { toast } from "./toast";

/** Puts a text on the clipboard; says so when the browser does not allow that. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    toast.bad("The browser does not let this page copy; select the text instead.", error);
    return false;
  }
}

/** A text for a terminal, and a button that copies it. */
export function Commands({ text, label = "Copy the commands" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <div className="relative mt-auto min-w-0">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so it has to be reached by keyboard */}
      <pre tabIndex={0} className="overflow-x-auto rounded-md border border-line bg-raised p-3 pr-12 font-mono text-xs">
        {text}
      </pre>
      <button
        type="button"
        className="absolute top-1.5 right-1.5 rounded-md border border-line bg-panel p-1.5 text-soft hover:text-text"
        aria-label={copied ? "Copied" : label}
        title={copied ? "Copied" : "Copy"}
        onClick={() => void copy(text).then(setCopied)}
      >
        {copied ? <Check aria-hidden size={14} className="text-ok" /> : <Copy aria-hidden size={14} />}
      </button>
    </div>
  );
}
