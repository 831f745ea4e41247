import { useEffect, useRef } from "react";
import { Shared, useShared } from "../ui/shared";

/** A key of the dashboard and what it does. */
export interface Key {
  /** `j`, `?`, `Enter`, `mod+k` (⌘ on a Mac, Ctrl elsewhere), or one after another: `g j`. */
  keys: string;
  /** What it does, as the list of keys says it: "Open the job". */
  label: string;
  run: (event: KeyboardEvent) => void;
}

interface Group {
  title: string;
  keys: readonly Key[];
  shell: boolean;
}

/** What a key press looks like to `matches`. */
export type Press = Pick<KeyboardEvent, "key" | "metaKey" | "ctrlKey" | "altKey" | "shiftKey">;

/** Whether a press is one step of a `Key`, e.g. `mod+k` or `j`. */
export function matches(step: string, press: Press): boolean {
  const parts = step.split("+").filter((part) => part !== "");
  const name = step.endsWith("+") ? "+" : (parts.pop() ?? "");
  const mod = parts.includes("mod");
  if (mod !== (press.metaKey || press.ctrlKey)) return false;
  if (parts.includes("alt") !== press.altKey) return false;
  // The shift key is part of what a character is (`?`, `G`), so it counts only for keys with names.
  if (name.length > 1 && parts.includes("shift") !== press.shiftKey) return false;
  return name.length === 1 && mod ? press.key.toLowerCase() === name.toLowerCase() : press.key === name;
}

/** Follows presses, and tells which of the keys they complete. Steps of a sequence have a second each. */
export class Presses {
  #before: { press: Press; at: number }[] = [];

  take<K extends { keys: string }>(press: Press, at: number, keys: readonly K[]): K | undefined {
    if (["Shift", "Control", "Alt", "Meta"].includes(press.key)) return undefined;
    const recent: { press: Press; at: number }[] = [];
    let next = at;
    for (const each of this.#before.toReversed()) {
      if (next - each.at > 1000) break;
      recent.unshift(each);
      next = each.at;
    }
    const all = [...recent, { press, at }];
    const completed = keys
      .filter(({ keys: text }) => {
        const steps = text.split(" ");
        const tail = all.slice(-steps.length);
        return tail.length === steps.length && steps.every((step, i) => tail[i] && matches(step, tail[i].press));
      })
      .sort((a, b) => b.keys.split(" ").length - a.keys.split(" ").length)[0];
    this.#before = completed === undefined ? all.slice(-2) : [];
    return completed;
  }
}

/** How a key is written on the list: its steps, each a list of caps. */
export function caps(keys: string, mac: boolean): string[][] {
  const names: Record<string, string> = {
    mod: mac ? "⌘" : "Ctrl",
    alt: mac ? "⌥" : "Alt",
    shift: mac ? "⇧" : "Shift",
    Enter: "↵",
    Escape: "Esc",
    ArrowUp: "↑",
    ArrowDown: "↓",
    ArrowLeft: "←",
    ArrowRight: "→",
    " ": "Space",
  };
  return keys.split(" ").map((step) => {
    const parts = step.endsWith("+") ? [...step.slice(0, -2).split("+"), "+"] : step.split("+");
    return parts
      .filter((part) => part !== "")
      .map((part) => names[part] ?? (parts.length > 1 ? part.toUpperCase() : part));
  });
}

/** Whether a key is of characters alone, which somebody who dictates may press without knowing (WCAG 2.1.4). */
export const isOfCharacters = (keys: string) => keys.split(" ").some((step) => /^(shift\+)?.$/u.test(step));

// Who has turned such keys off has done so for this browser.
const charactersOff = "atta.character-keys";
const characters = new Shared(localStorage.getItem(charactersOff) !== "off");

export function setCharacterKeys(on: boolean) {
  if (on) localStorage.removeItem(charactersOff);
  else localStorage.setItem(charactersOff, "off");
  characters.set(on);
}

/** Whether keys that are characters alone do anything. */
export const useCharacterKeys = (): boolean => useShared(characters);

const groups = new Map<symbol, Group>();
const presses = new Presses();
const listed = new Shared<readonly Group[]>([]);

function changed() {
  // The newest are nearest to the user; the shell is behind every page, whenever it was mounted.
  const all = [...groups.values()].filter((group) => group.keys.length > 0).reverse();
  listed.set([...all.filter((group) => !group.shell), ...all.filter((group) => group.shell)]);
}

/** In a field, characters are text; keys with ⌘ or Ctrl and Escape work there too. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button", "submit", "file"].includes(target.type);
  return target.closest("textarea, select, .cm-editor, .xterm") !== null;
}

/** Enter and space belong to the button or link that has the focus. */
function isPressing(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" && event.key !== " ") return false;
  return event.target instanceof HTMLElement && event.target.closest("a, button, [role=button], summary") !== null;
}

function onKey(event: KeyboardEvent) {
  if (event.defaultPrevented || event.isComposing) return;
  const mod = event.metaKey || event.ctrlKey;
  if (!mod && event.key !== "Escape" && isTyping(event.target)) return;
  if (isPressing(event)) return;
  // What is under a dialog does not hear keys; ⌘K closes the palette again.
  if (
    !mod &&
    document.querySelector('[role="dialog"], [role="alertdialog"], [role="menu"], [role="listbox"][data-state]')
  )
    return;
  const all = listed.get().flatMap((group) => group.keys);
  const keys = characters.get() ? all : all.filter((each) => !isOfCharacters(each.keys));
  const key = presses.take(event, event.timeStamp, keys);
  if (key === undefined) return;
  event.preventDefault();
  key.run(event);
}

/**
 * Registers keys while a component is shown, under a heading of the list that `?` shows. The newest come first, so a
 * page's key wins over the shell's.
 */
export function useKeys(title: string, keys: readonly Key[], { shell = false } = {}) {
  const current = useRef(keys);
  useEffect(() => {
    current.current = keys;
  });
  const shape = JSON.stringify(keys.map(({ keys: text, label }) => [text, label]));
  useEffect(() => {
    const id = Symbol(title);
    const entries = (JSON.parse(shape) as [string, string][]).map(([text, label]) => ({
      keys: text,
      label,
      run: (event: KeyboardEvent) => current.current.find((each) => each.keys === text)?.run(event),
    }));
    groups.set(id, { title, keys: entries, shell });
    if (groups.size === 1) window.addEventListener("keydown", onKey);
    changed();
    return () => {
      groups.delete(id);
      if (groups.size === 0) window.removeEventListener("keydown", onKey);
      changed();
    };
  }, [title, shape, shell]);
}

/** All keys that work now, by heading. */
export const useAllKeys = (): readonly Group[] => useShared(listed);

export const isMac = () => /Mac|iPhone|iPad/.test(navigator.userAgent);
