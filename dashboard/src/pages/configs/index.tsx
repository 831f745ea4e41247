import { PageHeader } from "../../ui/kit";

export function ConfigsPage() {
  return <PageHeader title="Configs" />;
}
