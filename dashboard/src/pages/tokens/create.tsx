import { Copy } from "lucide-react";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { copy } from "../../ui/copy";
import { Dialog, DialogForm } from "../../ui/dialog";
import { Select, TextField } from "../../ui/field";
import { Button } from "../../ui/kit";
import { toast } from "../../ui/toast";

type Role = Api<"Role">;

const roles: readonly (readonly [Role, string, string])[] = [
  ["viewer", "viewer", "Sees everything but values of secrets, and changes nothing."],
  ["submitter", "submitter", "Also submits jobs and checks definitions."],
  ["operator", "operator", "Also cancels, retries, resumes, votes, and takes ants out of service."],
  ["admin", "admin", "Also changes definitions, configs, secrets and tokens."],
  ["ant", "ant", "Only takes work and reports it: for an ant on another machine."],
];

const days: readonly (readonly [string, string])[] = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "a year"],
  ["", "for ever"],
];

/** Makes a token and shows its value: this once. */
export function NewToken({ onClose, refresh }: { onClose: () => void; refresh: () => Promise<void> }) {
  const [made, setMade] = useState<Api<"NewToken">>();
  return (
    <Dialog
      title={made === undefined ? "New token" : `Token ${made.token.name}`}
      onClose={onClose}
      {...(made === undefined ? {} : { lead: "This is shown only now. Whoever has it can do what its role allows." })}
    >
      {made === undefined ? (
        <Ask onClose={onClose} onMade={setMade} refresh={refresh} />
      ) : (
        <Value made={made} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Ask({
  onClose,
  onMade,
  refresh,
}: {
  onClose: () => void;
  onMade: (made: Api<"NewToken">) => void;
  refresh: () => Promise<void>;
}) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<string>("viewer");
  const [user, setUser] = useState("");
  const [good, setGood] = useState("90");
  const [ant, setAnt] = useState("");
  const [tags, setTags] = useState("");
  const send = async () => {
    const list = tags.split(/[\s,]+/).filter((tag) => tag !== "");
    const made = await data(
      api.POST("/api/v1/tokens", {
        body: {
          name: name.trim(),
          role: role as Role,
          ...(user.trim() === "" || role === "ant" ? {} : { user: user.trim() }),
          ...(good === "" ? {} : { expires_in: Number(good) * 86_400 }),
          ...(role === "ant" && ant.trim() !== "" ? { ant: ant.trim() } : {}),
          ...(role === "ant" && list.length > 0 ? { tags: list } : {}),
        },
      }),
    );
    onMade(made);
    await refresh();
  };
  return (
    <DialogForm action="Make the token" onClose={onClose} send={send} ready={name.trim() !== ""}>
      <TextField label="Name" hint="Where it is used: ann-laptop, ci." required value={name} onText={setName} />
      <Select
        label="Role"
        value={role}
        onChange={setRole}
        hint={roles.find(([each]) => each === role)?.[2]}
        options={roles.map(([each, text]) => [each, text] as const)}
      />
      {role === "ant" ? (
        <>
          <TextField label="Only this ant" hint="Empty: whatever ant shows it." value={ant} onText={setAnt} />
          <TextField label="Only these tags" hint="Separated by commas. Empty: any." value={tags} onText={setTags} />
        </>
      ) : (
        <TextField
          label="Acts as"
          hint="In whose name votes and changes count. Empty: the token's name."
          value={user}
          onText={setUser}
        />
      )}
      <Select label="Good for" value={good} onChange={setGood} options={days} />
    </DialogForm>
  );
}

function Value({ made, onClose }: { made: Api<"NewToken">; onClose: () => void }) {
  return (
    <>
      <code className="rounded-md border border-line bg-raised p-3 text-sm break-all select-all">{made.value}</code>
      <div className="flex justify-end gap-2">
        <Button onClick={() => void copy(made.value).then((done) => done && toast.ok("Copied."))}>
          <Copy aria-hidden size={15} /> Copy
        </Button>
        <Button look="primary" onClick={onClose}>
          I have it
        </Button>
      </div>
    </>
  );
}
