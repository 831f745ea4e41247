//! Templates that mean harm, in every place where a template can stand.

use std::collections::BTreeMap;

use atta_core::template::{Renderer, Value};

use super::{Case, Class, case, with_job, with_task};

/// Every place of a template: a definition in which `@` is the template. Those that hold no other text say so.
pub(super) const PLACES: &[(&str, bool, &str)] = &[
    ("description", true, "description: \"@\""),
    ("job_variables", true, "job_variables: {v: \"@\"}"),
    ("a nested job variable", true, "job_variables: {v: [{w: \"@\"}]}"),
    ("job environment", true, "environment: {V: \"@\"}"),
    ("skip_if", true, "skip_if: \"@\""),
    ("user_key", true, "user_key: \"@\""),
    ("job timeout", true, "timeout: \"@\""),
    ("job retry", true, "retry: \"@\""),
    ("job delay", true, "delay_between_retries: \"@\""),
    ("resume_after", true, "resume_after: \"@\""),
    ("concurrency", true, "concurrency: {key: \"@\"}"),
    ("task description", false, "description: \"@\""),
    ("script", false, "script: [\"echo @\"]"),
    ("script in quotes", false, "script: [\"echo '@'\"]"),
    ("before_script", false, "before_script: [\"echo @\"]"),
    ("after_script", false, "after_script: [\"echo @\"]"),
    ("environment", false, "environment: {V: \"@\"}"),
    ("when", false, "when: \"@\""),
    ("except", false, "except: \"@\""),
    ("timeout", false, "timeout: \"@\""),
    ("idle_timeout", false, "idle_timeout: \"@\""),
    ("queue_timeout", false, "queue_timeout: \"@\""),
    ("kill_grace", false, "kill_grace: \"@\""),
    ("retry", false, "retry: \"@\""),
    ("delay", false, "delay_between_retries: \"@\""),
    ("tags", false, "tags: [\"@\"]"),
    ("artifacts", false, "artifacts: {paths: [\"@\"]}"),
    ("fan_out items", false, "fan_out: {items: \"@\"}"),
    ("fan_out key", false, "fan_out: {items: [1], key: \"@\"}"),
];

/// Templates, and what the loader says of each, whatever its place.
const TEMPLATES: &[(&str, &str, Class)] = &[
    ("an undefined name", "{{ Undefined }}", Class::Refused),
    ("an undefined name in a condition", "{{ 1 if Undefined else 2 }}", Class::Refused),
    ("an undefined name in a filter", "{{ 'x' | default(Undefined) }}", Class::Refused),
    ("an undefined function", "{{ evil() }}", Class::Refused),
    ("an undefined filter", "{{ 1 | evil }}", Class::Refused),
    ("nothing", "{{ }}", Class::Refused),
    ("an open end", "{{ 1", Class::Refused),
    ("an open statement", "{% if true %}", Class::Refused),
    ("a Go template", "{{.X}}", Class::Refused),
    ("an import", "{% include '/etc/passwd' %}", Class::Refused),
    ("a walk through classes", "{{ ''.__class__.__mro__ }}", Class::Refused),
];

fn place(keys: &str, of_job: bool) -> String {
    if of_job {
        return with_job(keys);
    }
    let script = if keys.starts_with("script") { "" } else { "    script: [echo]\n" };
    with_task(&format!("    {keys}\n{script}"))
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (where_it_is, of_job, keys) in PLACES {
        for (what, template, class) in TEMPLATES {
            all.push(case(format!("{what} in {where_it_is}"), place(&keys.replace('@', template), *of_job), *class));
        }
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(2_000), ")".repeat(2_000));
        all.push(case(
            format!("deep brackets in {where_it_is}"),
            place(&keys.replace('@', &deep), *of_job),
            Class::Refused,
        ));
    }
    all
}

/// A bomb that is read must not go off when it is rendered either.
#[test]
fn template_bombs_are_stopped_when_they_are_rendered() {
    let names: BTreeMap<String, Value> = [("X".to_owned(), Value::outside(&serde_json::json!("x")))].into();
    let renderer = Renderer::default();
    for bomb in [
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ ('x' * 100000) * 100000 }}",
        "{{ range(1000000000) | list | length }}",
        "{% set x = 'a' * 1000 %}{% for i in range(100000) %}{{ x }}{% endfor %}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ 'a' | replace('a', 'b' * 1000000) | replace('b', 'c' * 1000000) }}",
        "{{ [1] * 1000000000 }}",
        "{{ '%0999999999d' | format(1) }}",
        "{{ X | center(1000000000) }}",
    ] {
        let rendered = renderer.render_text(bomb, &names);
        assert!(rendered.is_err(), "{bomb} gave {} bytes", rendered.map_or(0, |text| text.len()));
    }
    assert!(super::peak_mib() < 400, "{} MiB were in use at once", super::peak_mib());
}
