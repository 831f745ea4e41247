import { PageHeader } from "../../ui/kit";

export function SchedulesPage() {
  return <PageHeader title="Schedules" />;
}
