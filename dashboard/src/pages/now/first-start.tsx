import { Link } from "@tanstack/react-router";
import { useMay } from "../../app/caller";
import { Commands } from "../../ui/copy";
import { Panel } from "../../ui/kit";

const hello = `cat > hello.yaml <<'END'
job_type: hello
tasks:
  - task_type: greet
    script: [echo "Hello from Atta"]
END`;

/** What to do on a server that knows no definition. */
export function FirstStart() {
  const may = useMay();
  const here = window.location.origin;
  const server = here === "http://127.0.0.1:7777" ? "" : `export ATTA_SERVER=${here}\n`;
  return (
    <Panel title="Start here">
      <p className="max-w-prose text-soft">
        Atta runs jobs, and a <em>definition</em> says what a job does. This server has none yet. Three ways to get one:
      </p>
      <ol className="mt-4 grid gap-5 lg:grid-cols-3">
        <Step number={1} title="Run your first job" commands={`${server}${hello}\natta submit hello.yaml --follow`}>
          Uploads a definition of one task, starts it, and shows what it writes. It appears on this page at once.
        </Step>
        <Step
          number={2}
          title="Let agents work on your issues"
          commands={`${server}atta setup github --repo OWNER/NAME`}
        >
          Prepares a repository and this server: issues with a label become pull requests. It says what is missing on
          the way.
        </Step>
        <Step number={3} title="See it all without an account" commands="atta demo --keep">
          Plays three issues from plan to merge on your machine, with stand-ins for the agent and the forge, on a server
          of its own; its address is printed.
        </Step>
      </ol>
      {may("admin") && (
        <p className="mt-4 text-soft">
          You can also write a definition{" "}
          <Link to="/definitions/+new" className="text-accent underline">
            here in the browser
          </Link>
          , with completion and checks as you type.
        </p>
      )}
    </Panel>
  );
}

function Step({
  number,
  title,
  commands,
  children,
}: {
  number: number;
  title: string;
  commands: string;
  children: React.ReactNode;
}) {
  return (
    <li className="flex min-w-0 flex-col gap-2">
      <h3 className="font-semibold">
        {number}. {title}
      </h3>
      <p className="text-soft">{children}</p>
      <Commands text={commands} />
    </li>
  );
}
