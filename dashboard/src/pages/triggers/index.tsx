import { PageHeader } from "../../ui/kit";

export function TriggersPage() {
  return <PageHeader title="Triggers" />;
}
