import { PageHeader } from "../../ui/kit";

export function OutcomesPage() {
  return <PageHeader title="Outcomes" />;
}
