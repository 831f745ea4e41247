import { Shared, useShared } from "../ui/shared";

export type Theme = "system" | "light" | "dark";

const key = "atta.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme {
  const value = localStorage.getItem(key);
  return value === "light" || value === "dark" ? value : "system";
}

const current = new Shared(chosen());

function apply() {
  const theme = chosen();
  document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  current.set(theme);
}

/** Sets the theme of the page before its first paint, and whenever the system's changes. */
export function startTheme() {
  dark.addEventListener("change", apply);
  apply();
}

export function setTheme(theme: Theme) {
  if (theme === "system") localStorage.removeItem(key);
  else localStorage.setItem(key, theme);
  apply();
}

export const useTheme = (): Theme => useShared(current);
