//! The keys `workspace` and `cache`.

use std::time::Duration;

use super::{definition, problems};
use crate::definition::{Field, KeepWorkspace};

fn job(lines: &str) -> String {
    format!("job_type: a\nparams: {{Name: {{}}}}\n{lines}\ntasks:\n- {{task_type: build, script: [make]}}\n")
}

fn cached(cache: &str) -> String {
    format!("job_type: a\nworkspace: {{}}\ntasks:\n- task_type: build\n  script: [make]\n  cache: {cache}\n")
}

#[test]
fn a_workspace_has_defaults() {
    let spec = definition(&job("workspace: {scope: job}")).workspace.unwrap();
    assert_eq!((spec.keep, spec.ttl), (KeepWorkspace::OnFailure, Field::Value(Duration::from_hours(168))));
    assert!(spec.size_limit.is_none() && spec.git.is_none());
}

#[test]
fn a_workspace_with_everything_is_read() {
    let spec = definition(&job(
        "workspace:\n  keep: always\n  ttl: 2d\n  size_limit: 10GiB\n  git:\n    url: https://example.com/{{ Name }}.git\n    \
         ref: main\n    branch: ai/{{ Name }}-{{ Nonce }}\n    discard_unpushed: true",
    ))
    .workspace
    .unwrap();
    assert_eq!((spec.keep, spec.size_limit), (KeepWorkspace::Always, Some(Field::Value(10 << 30))));
    let git = spec.git.unwrap();
    assert_eq!(git.branch.unwrap().source, "ai/{{ Name }}-{{ Nonce }}");
    assert!(git.discard_unpushed);
}

#[test]
fn templated_limits_become_values_when_the_job_is_created() {
    let definition = definition(&job("workspace: {ttl: \"{{ Name }}\", size_limit: \"{{ Name }}\"}"));
    let problems = definition.resolve_fields(&mut |_| Ok("soon".into())).unwrap_err();
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(messages[0].starts_with("`workspace.ttl`: \"soon\" is not a duration"), "{messages:?}");
    assert!(messages[1].starts_with("`workspace.size_limit`: \"soon\" is not a size"), "{messages:?}");
    let resolved = definition.resolve_fields(&mut |text| Ok(if text.span.start < 48 { "1h" } else { "5MB" }.into()));
    assert!(resolved.is_ok() || resolved.is_err_and(|problems| problems.len() == 1));
}

#[test]
fn mistakes_in_a_workspace_are_explained() {
    for (lines, expected) in [
        ("workspace: {scope: task}", "E-VALUE: `workspace.scope` must be job"),
        ("workspace: {keep: forever}", "E-VALUE: `workspace.keep` must be never, on_failure or always"),
        ("workspace: {size_limit: 10}", "E-SIZE: `size_limit`: the size \"10\" has no unit (write 10MB, 10GiB or 10B)"),
        ("workspace: {size_limit: 0B}", "E-SIZE: `size_limit` must be more than 0"),
        ("workspace: {ttl: 0s}", "E-DURATION: `ttl` must be longer than 0"),
        ("workspace: {git: {}}", "E-MISSING-KEY: `workspace.git` needs `url`"),
        ("workspace: {git: {url: \"ext::sh\"}}", "E-VALUE: `workspace.git.url`: \"ext::sh\" cannot be the address"),
        (
            "workspace: {git: {url: /srv/a.git, branch: --force}}",
            "E-VALUE: `workspace.git.branch`: \"--force\" cannot be the name of a branch: it begins with `-`",
        ),
        ("workspace: {git: {url: /srv/a.git, ref: a..b}}", "E-VALUE: `workspace.git.ref`: \"a..b\""),
        (
            "workspace: {git: {url: /srv/a.git, tag: v1}}",
            "E-UNKNOWN-KEY: workspace.git has no key `tag` (did you mean `ref`?)",
        ),
        (
            "workspace: {git: {url: /srv/a.git, branch: \"{{ tasks.build.outputs.x }}\"}}",
            "E-UNDECLARED: `tasks` is not known here: the workspace is made before any task runs",
        ),
        (
            "workspace: {git: {url: /srv/a.git, branch: \"{{ Nmae }}\"}}",
            "E-UNDECLARED: nothing declares `Nmae` (did you mean `Name`?)",
        ),
        ("workspace: {git: {url: \"{{ secrets.Url }}\"}}", "secrets"),
    ] {
        let found = problems(&job(lines));
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].contains(expected), "{lines}: {found:?}");
    }
}

#[test]
fn a_cache_is_read() {
    let definition = definition(&cached(
        "{key: \"deps-{{ TaskType }}\", paths: [node_modules, $JOB_WORKSPACE/target], restore_keys: [deps-]}",
    ));
    let cache = definition.tasks[0].cache.as_ref().unwrap();
    assert_eq!((cache.paths.len(), cache.restore_keys.len()), (2, 1));
}

#[test]
fn mistakes_in_a_cache_are_explained() {
    for (cache, expected) in [
        ("{paths: [a]}", "E-MISSING-KEY: `cache` needs `key`"),
        ("{key: k}", "E-MISSING-KEY: `cache` needs `paths`"),
        ("{key: k, paths: []}", "E-VALUE: `cache.paths` is empty"),
        ("{key: \"\", paths: [a]}", "E-VALUE: the cache key \"\" is empty"),
        ("{key: k, paths: [~/.cargo]}", "E-PATH: the cache path \"~/.cargo\" begins with `~`"),
        ("{key: k, paths: [/etc]}", "E-PATH: the cache path \"/etc\" is absolute"),
        ("{key: k, paths: [a/../../b]}", "E-PATH: the cache path \"a/../../b\" leads out with `..`"),
        ("{key: k, paths: [$HOME/x]}", "E-PATH: the cache path \"$HOME/x\" begins with a variable"),
        ("{key: k, paths: [\"*.o\"]}", "E-PATH: the cache path \"*.o\" has a wildcard"),
        ("{key: k, paths: [.]}", "E-PATH: the cache path \".\" names the whole directory"),
        ("{key: k, path: [a], paths: [b]}", "E-UNKNOWN-KEY: cache has no key `path` (did you mean `paths`?)"),
        ("[a]", "E-TYPE: `cache` must be a mapping"),
    ] {
        let found = problems(&cached(cache));
        assert_eq!(found.len(), 1, "{cache}: {found:?}");
        assert!(found[0].contains(expected), "{cache}: {found:?}");
    }
}

#[test]
fn a_cache_in_the_workspace_needs_a_workspace() {
    let source = cached("{key: k, paths: [$JOB_WORKSPACE/target]}").replace("workspace: {}\n", "");
    let found = problems(&source);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("E-PATH: a cache path in `$JOB_WORKSPACE/`, and the job has no `workspace`"),
        "{found:?}"
    );
}
