import { PageHeader } from "../../ui/kit";

export function BudgetsPage() {
  return <PageHeader title="Budgets" />;
}
