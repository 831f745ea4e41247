import { PageHeader } from "../../ui/kit";

export function AntsPage() {
  return <PageHeader title="Ants" />;
}
