import { PageHeader } from "../../ui/kit";

export function JobsPage() {
  return <PageHeader title="Jobs" />;
}
