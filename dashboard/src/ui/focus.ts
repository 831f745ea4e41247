import { useState } from "react";

/**
 * Where the focus goes when a dialog closes: back to what had it when it opened, else to the heading of the page. Our dialogs are
 * opened by anything, not by a trigger of Radix, which would leave it nowhere. For `onCloseAutoFocus`, in what is there only
 * while the dialog is open.
 */
export function useFocusBack(): (event: Event) => void {
  const [before] = useState(() => document.activeElement);
  return (event) => {
    event.preventDefault();
    const now = document.activeElement;
    // What the dialog has led to may have it already; a dialog around this one keeps it for us.
    if (now !== null && now !== document.body && !now.contains(before)) return;
    if (before === document.body) return;
    if (before instanceof HTMLElement) before.focus();
    if (document.activeElement === before) return;
    const heading = document.querySelector<HTMLElement>("main h1") ?? document.querySelector<HTMLElement>("main");
    if (heading === null) return;
    heading.tabIndex = -1;
    heading.focus();
  };
}
