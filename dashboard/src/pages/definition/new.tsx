import { OnlyFor } from "../../app/caller";
import { PageHeader } from "../../ui/kit";
import { useDraft } from "./draft";
import { Editing } from "./editing";

const start = `job_type: hello
description: Says hello

params:
  Name:
    description: Whom to greet
    default: world

tasks:
  - task_type: greet
    environment:
      NAME: "{{ Name }}"
    script:
      - echo "Hello, $NAME"
`;

/** Writes a definition that there is not yet. */
export function NewDefinitionPage() {
  // No definition has a name like this.
  const [draft, setDraft] = useDraft("+new");
  return (
    <>
      <PageHeader title="New definition" lead="Its name is what job_type says. The server checks it while you write." />
      <OnlyFor needed="admin" to="write definitions">
        <Editing source={start} draft={draft} onDraft={setDraft} />
      </OnlyFor>
    </>
  );
}
