//! Where secrets and configs may stand.

use super::{definition, problems};
use crate::definition::{KnownConfigs, Limits, load_with};

const NOT_HERE: &str = "E-SECRET-PLACE: a secret cannot stand here, where others would see it (give it to a task by \
                        `environment: {T: \"{{ secrets.T }}\"}` or `env_from`, and read $T there)";

fn task(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("job_type: a\ntasks:\n- task_type: t\n{lines}")
}

#[test]
fn a_secret_stands_in_environment_values_and_env_from_only() {
    for source in [
        task("script: [\"echo {{ secrets.T }}\"]"),
        task("script: [x]\nbefore_script: [\"echo {{ secrets.T }}\"]"),
        task("script: [x]\nafter_script: [\"echo {{ secrets.T }}\"]"),
        task("script: [x]\nwhen: \"{{ secrets.T }}\""),
        task("script: [x]\ndescription: \"{{ secrets.T }}\""),
        task("script: [x]\ntags: [\"{{ secrets.T }}\"]"),
        task("script: [x]\ntimeout: \"{{ secrets.T }}\""),
        task("script: [x]\nartifacts: {paths: [\"{{ secrets.T }}\"]}"),
        task("script: [x]\nfan_out: {items: \"{{ secrets.T }}\"}"),
        format!("description: \"{{{{ secrets.T }}}}\"\n{}", task("script: [x]")),
        format!("skip_if: \"{{{{ secrets.T }}}}\"\n{}", task("script: [x]")),
        format!("user_key: \"{{{{ secrets.T }}}}\"\n{}", task("script: [x]")),
        format!("concurrency: {{key: \"{{{{ secrets.T }}}}\"}}\n{}", task("script: [x]")),
        format!("job_variables: {{V: \"{{{{ secrets.T }}}}\"}}\n{}", task("script: [x]")),
    ] {
        let found = problems(&source);
        assert!(found.iter().any(|one| one.ends_with(NOT_HERE)), "{source}: {found:?}");
    }
    let source = format!(
        "environment: {{J: \"{{{{ secrets.Job }}}}\"}}\ndefaults: {{environment: {{D: \"{{{{ secrets.Def }}}}\"}}}}\n{}",
        task(
            "script: [x]\nenvironment: {A: \"{{ secrets.One }}\", B: \"Bearer {{ secrets.Two }} {% if true %}{{ secrets.One }}{% endif %}\"}\nenv_from: [{secrets: [Three, Four]}, {configs: [Five]}]"
        )
    );
    let loaded = load_with("a.yaml", source.as_bytes(), &Limits::default(), KnownConfigs::Unknown);
    assert!(loaded.definition.is_some(), "{:?}", loaded.diagnostics);
    let mut secrets: Vec<&String> = loaded.uses.secrets.keys().collect();
    secrets.sort();
    assert_eq!(secrets, ["Def", "Four", "Job", "One", "Three", "Two"]);
    assert_eq!(loaded.uses.configs.keys().collect::<Vec<_>>(), ["Five"]);
}

#[test]
fn nothing_is_computed_from_a_secret() {
    for value in [
        "{{ secrets.T | upper }}",
        "{{ secrets.T ~ 'x' }}",
        "{{ 'a' if secrets.T else 'b' }}",
        "{% if secrets.T %}a{% endif %}",
        "{% set x = secrets.T %}{{ x }}",
        "{% set x %}{{ secrets.T }}{% endset %}{{ x | upper }}",
        "{% filter upper %}{{ secrets.T }}{% endfilter %}",
        "{{ [secrets.T] }}",
        "{{ secrets.T | default('') }}",
    ] {
        let found = problems(&task(&format!("script: [x]\nenvironment: {{A: \"{value}\"}}")));
        assert!(
            found.len() == 1 && found[0].contains("E-SECRET-PLACE: a secret is passed on as it is"),
            "{value}: {found:?}"
        );
    }
    for (value, words) in [
        ("{{ secrets }}", "a secret is used as `secrets.NAME`"),
        ("{{ secrets.a.b }}", "a secret is used as `secrets.NAME`"),
        ("{{ secrets[JobID] }}", "a secret is used as `secrets.NAME`"),
        ("{{ secrets['it\\\\'s'] }}", "no secret can be called `it's`"),
    ] {
        let found = problems(&task(&format!("script: [x]\nenvironment: {{A: \"{value}\"}}")));
        assert!(found.len() == 1 && found[0].contains(words), "{value}: {found:?}");
    }
}

#[test]
fn env_from_is_a_list_of_secrets_and_configs() {
    let named = definition(&task("script: [x]\nenv_from:\n- secrets: [A]\n  configs: [B]"));
    let found: Vec<(&str, bool)> = named.tasks[0].env_from.iter().map(|one| (one.name.as_str(), one.secret)).collect();
    assert_eq!(found, [("A", true), ("B", false)]);
    for (value, words) in [
        ("{secrets: [A]}", "E-TYPE: `env_from` must be a list"),
        ("[A]", "E-TYPE"),
        ("[{secret: [A]}]", "E-UNKNOWN-KEY: an entry of env_from has no key `secret` (did you mean `secrets`?)"),
        ("[{secrets: [A]}, {configs: [A]}]", "E-CONFLICT: the environment variable A comes from two entries"),
        ("[{secrets: [it's]}]", "E-NAME"),
        ("[{secrets: [ATTA_X]}]", "E-RESERVED-NAME: the environment variable ATTA_X is set by Atta itself"),
    ] {
        let found = problems(&task(&format!("script: [x]\nenv_from: {value}")));
        assert!(found.iter().any(|one| one.contains(words)), "{value}: {found:?}");
    }
}

#[test]
fn a_name_alone_is_a_config_where_one_is_known() {
    let source = task("script: [\"echo {{ Region }} {{ configs.Other }} {{ configs.Maybe | default('x') }}\"]");
    let found = problems(&source);
    assert!(found.len() == 1 && found[0].contains("E-UNDECLARED: nothing declares `Region`"), "{found:?}");
    assert!(found[0].contains("a config of the server is written `configs.NAME`"), "{found:?}");
    let exists = |job_type: &str, name: &str| job_type == "a" && name == "Region";
    for known in [KnownConfigs::These(&exists), KnownConfigs::Any] {
        let loaded = load_with("a.yaml", source.as_bytes(), &Limits::default(), known);
        assert!(loaded.definition.is_some(), "{:?}", loaded.diagnostics);
        assert_eq!(loaded.uses.configs.keys().collect::<Vec<_>>(), ["Region", "Other"]);
    }
    let found = problems(&task("script: [x]\ntimeout: \"{{ configs.Limit }}\""));
    assert!(
        found.len() == 1 && found[0].contains("a config cannot stand here: it may change while the job runs"),
        "{found:?}"
    );
}

#[test]
fn a_secret_param_is_refused_with_the_way_out() {
    let found = problems(&format!("params: {{Token: {{secret: true}}}}\n{}", task("script: [x]")));
    assert_eq!(
        found,
        [
            "1:18 E-SECRET-PARAM: the param Token cannot be secret: params are stored with the job, and shown with it (set it on the server with `atta secret set Token`, and use `secrets.Token`)"
        ]
    );
}
