//! Templates that mean harm, in every place where a template can stand.

use std::collections::BTreeMap;

use atta_core::template::{Renderer, Value};

use super::{Case, Class, case, with_job, with_task};

/// Whose key it is.
#[derive(Debug, Clone, Copy)]
enum Of {
    Job,
    Task,
}

/// What may stand in a place.
#[derive(Debug, Clone, Copy)]
enum Holds {
    /// Any text with templates in it.
    Text,
    /// A value, or one whole `{{ expression }}`; anything else is this error.
    Value(&'static str),
}

/// Every place of a template: a definition in which `@` is the template.
const PLACES: &[(&str, Of, Holds, &str)] = &[
    ("description", Of::Job, Holds::Text, "description: \"@\""),
    ("job_variables", Of::Job, Holds::Text, "job_variables: {v: \"@\"}"),
    ("a nested job variable", Of::Job, Holds::Text, "job_variables: {v: [{w: \"@\"}]}"),
    ("job environment", Of::Job, Holds::Text, "environment: {V: \"@\"}"),
    ("skip_if", Of::Job, Holds::Text, "skip_if: \"@\""),
    ("user_key", Of::Job, Holds::Text, "user_key: \"@\""),
    ("job timeout", Of::Job, Holds::Value("E-DURATION"), "timeout: \"@\""),
    ("job retry", Of::Job, Holds::Value("E-TYPE"), "retry: \"@\""),
    ("job delay", Of::Job, Holds::Value("E-DURATION"), "delay_between_retries: \"@\""),
    ("resume_after", Of::Job, Holds::Value("E-DURATION"), "resume_after: \"@\""),
    ("concurrency", Of::Job, Holds::Text, "concurrency: {key: \"@\"}"),
    ("task description", Of::Task, Holds::Text, "description: \"@\""),
    ("script", Of::Task, Holds::Text, "script: [\"echo @\"]"),
    ("script in quotes", Of::Task, Holds::Text, "script: [\"echo '@'\"]"),
    ("before_script", Of::Task, Holds::Text, "before_script: [\"echo @\"]"),
    ("after_script", Of::Task, Holds::Text, "after_script: [\"echo @\"]"),
    ("environment", Of::Task, Holds::Text, "environment: {V: \"@\"}"),
    ("when", Of::Task, Holds::Text, "when: \"@\""),
    ("except", Of::Task, Holds::Text, "except: \"@\""),
    ("timeout", Of::Task, Holds::Value("E-DURATION"), "timeout: \"@\""),
    ("idle_timeout", Of::Task, Holds::Value("E-DURATION"), "idle_timeout: \"@\""),
    ("queue_timeout", Of::Task, Holds::Value("E-DURATION"), "queue_timeout: \"@\""),
    ("kill_grace", Of::Task, Holds::Value("E-DURATION"), "kill_grace: \"@\""),
    ("retry", Of::Task, Holds::Value("E-TYPE"), "retry: \"@\""),
    ("delay", Of::Task, Holds::Value("E-DURATION"), "delay_between_retries: \"@\""),
    ("tags", Of::Task, Holds::Text, "tags: [\"@\"]"),
    ("artifacts", Of::Task, Holds::Text, "artifacts: {paths: [\"@\"]}"),
    ("fan_out items", Of::Task, Holds::Text, "fan_out: {items: \"@\"}"),
    ("fan_out key", Of::Task, Holds::Text, "fan_out: {items: [1], key: \"@\"}"),
];

/// Templates, and what the loader says of each, whatever its place.
const TEMPLATES: &[(&str, &str, Class)] = &[
    ("an undefined name", "{{ Undefined }}", Class::Code("E-UNDECLARED")),
    ("an undefined name in a condition", "{{ 1 if Undefined else 2 }}", Class::Code("E-UNDECLARED")),
    ("an undefined name in a filter", "{{ 'x' | default(Undefined) }}", Class::Code("E-UNDECLARED")),
    ("an undefined function", "{{ evil() }}", Class::Code("E-TEMPLATE-UNKNOWN")),
    ("an undefined filter", "{{ 1 | evil }}", Class::Code("E-TEMPLATE-UNKNOWN")),
    ("nothing", "{{ }}", Class::Code("E-TEMPLATE-SYNTAX")),
    ("an open end", "{{ 1", Class::Code("E-TEMPLATE-SYNTAX")),
    ("an open statement", "{% if true %}", Class::Code("E-TEMPLATE-SYNTAX")),
    ("a Go template", "{{.X}}", Class::Code("E-TEMPLATE-GO")),
    ("an import", "{% include '/etc/passwd' %}", Class::Code("E-TEMPLATE-UNSUPPORTED")),
    ("a walk through classes", "{{ ''.__class__.__mro__ }}", Class::Accepted),
];

fn place(keys: &str, of: Of) -> String {
    match of {
        Of::Job => with_job(keys),
        Of::Task if keys.starts_with("script") => with_task(&format!("    {keys}\n")),
        Of::Task => with_task(&format!("    {keys}\n    script: [echo]\n")),
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (where_it_is, of, holds, keys) in PLACES {
        for (what, template, class) in TEMPLATES {
            let whole = template.starts_with("{{") && template.ends_with("}}");
            let class = match holds {
                Holds::Value(code) if !whole => Class::Code(code),
                _ => *class,
            };
            all.push(case(format!("{what} in {where_it_is}"), place(&keys.replace('@', template), *of), class));
        }
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(2_000), ")".repeat(2_000));
        all.push(case(
            format!("deep brackets in {where_it_is}"),
            place(&keys.replace('@', &deep), *of),
            Class::Code("E-TEMPLATE-LIMIT"),
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
