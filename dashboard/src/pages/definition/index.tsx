import { PageHeader } from "../../ui/kit";

export function DefinitionPage() {
  return <PageHeader title="Definition" />;
}
