import { PageHeader } from "../../ui/kit";

export function AuditPage() {
  return <PageHeader title="Audit" />;
}
