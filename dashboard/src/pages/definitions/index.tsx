import { PageHeader } from "../../ui/kit";

export function DefinitionsPage() {
  return <PageHeader title="Definitions" />;
}
