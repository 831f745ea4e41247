import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import type { Api } from "../api/client";
import { token } from "../api/client";
import { confirm } from "../ui/confirm";
import { Button, input } from "../ui/kit";
import { Time } from "../ui/time";
import { vote } from "./actions";
import { callerQuery, NotYours, useMay } from "./caller";
import { atDeadline, consequences } from "./inbox";
import { isName, person, setPerson, usePerson } from "./person";

/** Who may vote, what a vote does, and the two buttons. */
export function VoteBox({ approval }: { approval: Api<"ApprovalResource"> }) {
  const own = usePerson();
  const { data: caller } = useQuery(callerQuery);
  const may = useMay();
  // Who has a token votes as whom it belongs to.
  const name = caller?.user ?? own;
  // Whether it is asked for a name: for the first one, or for another one.
  const [asking, setAsking] = useState<"first" | "another">();
  const { approve, reject } = consequences(approval);
  const mine = approval.votes.find((each) => each.voter === name && name !== "");

  // A server without tokens has to be told who votes.
  const needsName = token.get() === null && name === "";
  const decide = (decision: Api<"Decision">) => {
    if (needsName) {
      setAsking("first");
      return;
    }
    const who = token.get() === null ? ` You vote as ${person()}.` : "";
    void confirm({
      title: decision === "approve" ? "Approve?" : "Reject?",
      body: (
        <>
          {approval.message && <span className="mb-2 block text-text">“{approval.message}”</span>}
          {decision === "approve" ? approve : reject} A vote stands: it cannot be taken back.{who}
        </>
      ),
      action: decision === "approve" ? "Approve" : "Reject",
      keep: "Decide later",
      danger: decision === "reject",
      field: { label: "Comment", required: decision === "reject" },
      run: (comment) => vote(approval.approval_id, decision, comment),
      done: decision === "approve" ? "Your approval is counted." : "Your rejection is counted.",
    });
  };

  // Who has said a wrong name says another one: a vote in the name of somebody who is not asked is refused.
  const votesAs = token.get() === null && !caller?.user && own !== "" && (
    <p className="text-xs break-words text-soft">
      You vote as {own} ·{" "}
      <button
        type="button"
        className="min-h-target text-accent underline"
        aria-label="Change the name in which you vote"
        onClick={() => setAsking("another")}
      >
        Change
      </button>
    </p>
  );

  return (
    <div className="flex flex-col gap-2">
      <p className="text-xs text-soft">
        {voters(approval)}
        {approval.votes.length > 0 && (
          <>
            {" · so far: "}
            {approval.votes
              .map((each) => `${each.voter} ${each.decision === "approve" ? "approved" : "rejected"}`)
              .join(", ")}
          </>
        )}
        {approval.deadline && (
          <>
            {" · until "}
            <Time at={approval.deadline} />, {atDeadline(approval.timeout_action)}
          </>
        )}
      </p>
      {!may("operator") ? (
        <NotYours needed="operator" to="vote" />
      ) : caller?.user && !named(approval, caller.user) ? (
        <p className="text-xs text-soft">You are {caller.user}, who is not asked here.</p>
      ) : asking === "another" || (asking === "first" && needsName) ? (
        <NameForm before={own} done={() => setAsking(undefined)} />
      ) : mine ? (
        <>
          <p className="text-soft">
            You ({name}) have {mine.decision === "approve" ? "approved" : "rejected"}; others have to vote.
          </p>
          {votesAs}
        </>
      ) : (
        <div className="flex flex-wrap items-center gap-2">
          <Button look="primary" onClick={() => decide("approve")}>
            Approve…
          </Button>
          <Button look="danger" onClick={() => decide("reject")}>
            Reject…
          </Button>
          <span className="min-w-0 text-xs text-soft">{approve}</span>
          {votesAs}
        </div>
      )}
    </div>
  );
}

/** Whether somebody is asked. Who holds the approval's roles only the server knows. */
const named = ({ users, roles }: Api<"ApprovalResource">, user: string) =>
  users.length === 0 || roles.length > 0 || users.includes(user);

function voters(approval: Api<"ApprovalResource">): string {
  const { users, roles, unanimous, min_approvals: wanted } = approval;
  const people = [...users, ...roles.map((role) => `who holds ${role}`)];
  if (people.length === 0)
    return `Anybody may vote; ${wanted} ${wanted === 1 ? "approval is" : "approvals are"} needed`;
  if (unanimous) return `All of ${people.join(", ")} have to approve`;
  return `${wanted} of ${people.join(", ")} ${wanted === 1 ? "has" : "have"} to approve`;
}

/** Asks in whose name this browser votes. */
function NameForm({ before, done }: { before: string; done: () => void }) {
  const [name, setName] = useState(before);
  const [refused, setRefused] = useState(false);
  const rule = useId();
  return (
    <form
      className="flex flex-wrap items-end gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isName(name.trim())) {
          setRefused(true);
          return;
        }
        setPerson(name.trim());
        done();
      }}
    >
      <label className="flex flex-col gap-1">
        <span className="text-xs font-medium">In whose name do you vote?</span>
        <input
          className={input}
          value={name}
          autoComplete="username"
          aria-invalid={refused}
          aria-describedby={rule}
          // biome-ignore lint/a11y/noAutofocus: it appears because the user has pressed a button that needs it
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
      </label>
      <Button type="submit">Use this name</Button>
      {before !== "" && (
        <Button look="quiet" onClick={done}>
          Stay {before}
        </Button>
      )}
      <p id={rule} className={refused ? "w-full text-xs text-bad" : "w-full text-xs text-soft"}>
        Letters, digits and . _ @ + - (this browser remembers it; the server believes it, as it asks for no token).
      </p>
    </form>
  );
}
