//! `triggers`.

use super::problems;
use super::refused::only;
use crate::definition::{Limits, Trigger, WebhookAuth, load};

fn with(triggers: &str) -> String {
    format!(
        "job_type: a\nparams: {{N: {{type: integer}}}}\ntriggers:\n{triggers}\ntasks:\n- task_type: t\n  script: [\"true\"]\n"
    )
}

fn webhook(rest: &str) -> String {
    with(&format!("- {{type: webhook, name: w, auth: {{bearer: \"{{{{ secrets.T }}}}\"}}{rest}}}"))
}

#[test]
fn triggers_are_read_with_what_proves_and_filters_them() {
    let source = with(
        "- type: webhook\n  name: issues\n  auth: {hmac_sha256: \"{{ secrets.Hook }}\"}\n  filter: \"{{ payload.ok }}\"\n  params: {N: \"{{ payload.n }}\"}\n  rate_limit: 30/1m\n- {type: job, job_type: [b, c], states: [FAILED]}",
    );
    let loaded = load("a.yaml", source.as_bytes(), &Limits::default());
    let definition = loaded.definition.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let [Trigger::Webhook(hook), Trigger::Job(job)] = definition.triggers.as_slice() else {
        panic!("{:?}", definition.triggers)
    };
    let signed = WebhookAuth::HmacSha256 { secret: "Hook".to_owned(), header: "x-hub-signature-256".to_owned() };
    assert_eq!((hook.name.as_str(), &hook.auth), ("issues", &signed));
    assert_eq!(hook.rate_limit.map(|limit| (limit.count, limit.per.as_secs())), Some((30, 60)));
    assert_eq!(job.job_types, ["b", "c"]);
}

#[test]
fn what_is_wrong_with_a_trigger_is_said_where_it_stands() {
    only(&with("- {name: w}"), "4:3 E-MISSING-KEY: this trigger has no `type` (write `type: webhook` or `type: job`)");
    only(
        &with("- {type: cron}"),
        "4:10 E-VALUE: `type` must be webhook or job, and this is the text \"cron\" (see the language reference for what they mean)",
    );
    only(
        &with("- {type: webhook, name: w, auth: {bearer: hunter2}}"),
        "4:43 E-VALUE: this must be a reference to a secret and nothing else (store it with `atta secret set Webhook` and write \"{{ secrets.Webhook }}\")",
    );
    only(
        &webhook(", rate_limit: often"),
        "4:75 E-VALUE: \"often\" is no rate (write how many in how long, at least a second: \"30/1m\")",
    );
    only(
        &webhook(", filter: \"{{ tasks.t.state }}\""),
        "4:75 E-UNDECLARED: `tasks` is not known here: a trigger is evaluated before there is a job (what is known is `payload`, `headers`, `event` and configs.…)",
    );
    only(
        &webhook(", filter: \"{{ job.state }}\""),
        "4:75 E-UNDECLARED: `job` is not known here: a trigger is evaluated before there is a job (what is known is `payload`, `headers`, `event` and configs.…)",
    );
    only(
        &webhook(", params: {M: 1}"),
        "4:10 E-UNDECLARED: the trigger gives a param `M`, which the job does not have (did you mean `N`?)",
    );
    only(
        &webhook(", wake: {task: x, user_key: k}"),
        "4:10 E-UNKNOWN-TASK: `wake` names the task \"x\", and there is none (it must be a task of this definition)",
    );
    let found = problems(&with(
        "- {type: webhook, name: w, auth: {bearer: \"{{ secrets.T }}\"}}\n- {type: webhook, name: w, auth: {bearer: \"{{ secrets.T }}\"}}",
    ));
    assert!(found.len() == 1 && found[0].contains("there are two webhooks named w"), "{found:?}");
    let found = problems(&with("- {type: webhook, name: w}"));
    assert!(found.len() == 1 && found[0].contains("this trigger has no `auth`"), "{found:?}");
    let found = problems(&with("- {type: webhook, name: w, auth: {}}"));
    assert!(found.len() == 1 && found[0].contains("`auth` is either `hmac_sha256` or `bearer`"), "{found:?}");
    let found = problems(&with("- {type: job, states: [RUNNING]}"));
    assert!(found.iter().any(|one| one.contains("this trigger has no `job_type`")), "{found:?}");
    assert!(found.iter().any(|one| one.contains("RUNNING")), "{found:?}");
    let found = problems(&webhook(", when: \"1\""));
    assert!(found.len() == 1 && found[0].contains("did you mean `filter`?"), "{found:?}");
}
