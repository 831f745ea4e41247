import { PageHeader } from "../../ui/kit";

export function NotificationsPage() {
  return <PageHeader title="Notifications" />;
}
