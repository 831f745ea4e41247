import { PageHeader } from "../../ui/kit";

export function NowPage() {
  return <PageHeader title="Now" />;
}
