import {
  Activity,
  BarChart3,
  Bell,
  Bug,
  CalendarClock,
  FileCode2,
  IdCard,
  KeyRound,
  ListChecks,
  ScrollText,
  Wallet,
  Webhook,
} from "lucide-react";
import { useMay } from "./caller";

/** The pages of the navigation, and the keys that lead to them. */
const all = [
  { to: "/", label: "Now", key: "g n", icon: Activity },
  { to: "/jobs", label: "Jobs", key: "g j", icon: ListChecks },
  { to: "/definitions", label: "Definitions", key: "g d", icon: FileCode2 },
  { to: "/schedules", label: "Schedules", key: "g s", icon: CalendarClock },
  { to: "/outcomes", label: "Outcomes", key: "g o", icon: BarChart3 },
  { to: "/budgets", label: "Budgets", key: "g b", icon: Wallet },
  { to: "/ants", label: "Ants", key: "g a", icon: Bug },
  { to: "/configs", label: "Configs", key: "g c", icon: KeyRound },
  { to: "/triggers", label: "Triggers", key: "g t", icon: Webhook },
  { to: "/notifications", label: "Notifications", key: "g i", icon: Bell },
  { to: "/tokens", label: "Tokens", key: "g k", icon: IdCard, needs: "admin" },
  { to: "/audit", label: "Audit", key: "g u", icon: ScrollText, needs: "admin" },
] as const;

/** Those that are for who looks. */
export function usePages() {
  const may = useMay();
  return all.filter((page) => !("needs" in page) || may(page.needs));
}
