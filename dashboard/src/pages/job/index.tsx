import { PageHeader } from "../../ui/kit";

export function JobPage() {
  return <PageHeader title="Job" />;
}
