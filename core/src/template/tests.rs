//! Tests of the template language.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::*;
use crate::definition::{Span, TemplateText, VariableValue};

fn scope(entries: &[(&str, Json)]) -> BTreeMap<String, Value> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), Value::outside(value))).collect()
}

fn render(source: &str, entries: &[(&str, Json)]) -> String {
    Renderer::default().render_text(source, &scope(entries)).unwrap()
}

fn problem(source: &str, entries: &[(&str, Json)]) -> TemplateProblem {
    Renderer::default().render_text(source, &scope(entries)).unwrap_err()
}

#[test]
fn text_renders_values_conditions_loops_and_filters() {
    let names = [("Name", json!("Ada")), ("Items", json!(["a", "b"])), ("N", json!(3))];
    for (source, expected) in [
        ("Hello {{ Name }}!\n", "Hello Ada!\n"),
        ("{% if N >= 3 and Name == 'Ada' %}yes{% else %}no{% endif %}", "yes"),
        ("{% for i in Items %}{{ loop.index }}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        (
            "{{ Items | join('-') | upper }} {{ N + 1 }} {{ N / 2 }} {{ N // 2 }} {{ -7 // 2 }} {{ -7 % 3 }}",
            "A-B 4 1.5 1 -4 2",
        ),
        ("{{ Missing | default('x') }}{{ Missing.deep.er | default('y') }}", "xy"),
        ("{{ Items }} {{ {'a': 1} }} {{ true }} {{ 1.0 }}", "[\"a\",\"b\"] {\"a\":1} true 1.0"),
        ("{% set x %}<{{ Name }}>{% endset %}{{ x }}{{ x | length }}", "<Ada>5"),
        ("{% macro m(a, b='2') %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m('x', b='y') }}", "[12][xy]"),
        ("{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}{{ Name }}{% endcall %}", "(Ada)"),
        ("{% filter upper %}a{{ Name }}{% endfilter %}", "AADA"),
        ("{{ Name[0] }}{{ Name[-1] }}{{ Items[1:] }}{{ Items | first }}", "Aa[\"b\"]a"),
        ("{{ 'Fix: the Ünïcode -- thing!' | slug }} {{ '???' | slug }}", "fix-the-n-code-thing untitled"),
        ("{{ '' | sha256 }}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("{{ '[a](b)' | markdown_link('https://x/(y)') }}", "[\\[a\\]\\(b\\)](https://x/%28y%29)"),
        ("{{ 'x' | markdown_link('javascript:alert(1)') }}", "x"),
        ("{{ ('{\"a\": [1, 2]}' | from_json).a[1] }} {{ {'k': Items} | to_json }}", "2 {\"k\":[\"a\",\"b\"]}"),
        ("{{ range(3) | list }}{{ range(1, 6, 2) | sum }}", "[0,1,2]9"),
        ("{% raw %}{{ x }}{% endraw %}{# comment #}", "{{ x }}"),
        ("{{ Items | map('upper') | join }}{{ ['', 'z'] | select | join }}", "ABz"),
    ] {
        assert_eq!(render(source, &names), expected, "{source}");
    }
}

#[test]
fn undefined_names_are_errors_with_position_and_suggestion() {
    let found = problem("Hello {{ Nmae }}", &[("Name", json!("x"))]);
    assert_eq!((found.code, found.offset), ("E-TEMPLATE-UNDEFINED", Some(6)));
    assert_eq!(found.to_string(), "`Nmae` is not defined (did you mean `Name`?)");
    let found = problem("{{ a.titel }}", &[("a", json!({"title": 1}))]);
    assert_eq!(found.to_string(), "`a` has no `titel` (did you mean `title`?)");
    assert_eq!(problem("{% if nope %}{% endif %}", &[]).message, "`nope` is not defined");
    assert_eq!(problem("{{ 'x' | uper }}", &[]).to_string(), "there is no filter `uper` (did you mean `upper`?)");
    assert_eq!(problem("{{ coutn_jobs('x') }}", &[]).help.as_deref(), Some("did you mean `count_jobs`?"));
    assert_eq!(problem("{{ count_jobs('x') }}", &[]).code, "E-TEMPLATE-FUNCTION");
}

#[test]
fn a_whole_expression_keeps_its_type() {
    let renderer = Renderer::default();
    let names = scope(&[("n", json!(3)), ("l", json!([1, {"a": null}]))]);
    assert_eq!(renderer.render_value("{{ n }}", &names).unwrap(), json!(3));
    assert_eq!(renderer.render_value("{{ l }}", &names).unwrap(), json!([1, {"a": null}]));
    assert_eq!(renderer.render_value("{{ n }} ", &names).unwrap(), json!("3 "));
    assert_eq!(renderer.render_value("plain", &names).unwrap(), json!("plain"));
}

fn text(source: &str) -> VariableValue {
    VariableValue::Text(TemplateText { source: source.to_owned(), span: Span::default() })
}

struct View(Vec<String>);

impl TaskView for View {
    fn names(&self) -> &[String] {
        &self.0
    }

    fn get(&self, name: &str) -> Option<TaskValues> {
        match name {
            "plan" => Some(TaskValues {
                state: "COMPLETED".to_owned(),
                exit_code: Some(0),
                outputs: Some([("title".to_owned(), json!("T"))].into_iter().collect()),
                outputs_origin: Origin::Outside,
                ..TaskValues::default()
            }),
            "unit-test" => Some(TaskValues { state: "PENDING".to_owned(), ..TaskValues::default() }),
            _ => None,
        }
    }
}

fn job(variables: &[(&str, VariableValue)]) -> Variables {
    let variables: IndexMap<String, VariableValue> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let params: IndexMap<String, Json> =
        [("Issue".to_owned(), json!("i.md")), ("N".to_owned(), json!(2))].into_iter().collect();
    Variables::builder()
        .params(&params, &IndexMap::new())
        .job_variables(&variables)
        .builtins(
            Builtins::new()
                .with("JobID", "j1")
                .with("Nonce", "0badcafe")
                .with("TaskAttempt", 2)
                .with("JobErrorCode", Json::Null)
                .with("RoutedFrom", json!({"task": "plan"})),
        )
        .tasks(Arc::new(View(vec!["plan".to_owned(), "unit-test".to_owned()])))
        .build(&Renderer::default())
}

#[test]
fn job_variables_are_rendered_when_used_and_know_where_they_come_from() {
    let variables = job(&[
        ("Branch", text("ai/{{ Issue | slug }}-{{ Nonce }}")),
        ("Count", text("{{ N + 1 }}")),
        ("Fixed", text("x{{ Nonce }}")),
        ("Tree", VariableValue::List(vec![text("{{ Fixed }}"), VariableValue::Scalar(json!(1))])),
        ("Loop", text("{{ Pool }}")),
        ("Pool", text("{{ Loop }}")),
        ("Broken", text("{{ Nope }}")),
    ]);
    let renderer = Renderer::default();
    let rendered = |source: &str| renderer.render_value(source, &variables).unwrap();
    assert_eq!(rendered("{{ Branch }}"), json!("ai/i-md-0badcafe"));
    assert_eq!(rendered("{{ job_variables.Count }}"), json!(3));
    assert_eq!(rendered("{{ Tree }}"), json!(["x0badcafe", 1]));
    let origin = |name: &str| variables.job_variable(name).unwrap().unwrap().origin();
    assert_eq!(
        (origin("Branch"), origin("Fixed"), origin("Tree")),
        (Origin::Outside, Origin::Trusted, Origin::Trusted)
    );
    let message = |source: &str| renderer.render_text(source, &variables).unwrap_err().message;
    assert_eq!(message("{{ Loop }}"), "the job variable `Loop` refers to itself: Loop → Pool → Loop");
    assert_eq!(message("{{ Broken }}"), "in the job variable `Broken`: `Nope` is not defined");
    assert_eq!(message("{{ params.Isue }}"), "`params` has no `Isue`");
}

#[test]
fn tasks_are_looked_up_by_name_and_unknown_ones_are_errors() {
    let variables = job(&[]);
    let renderer = Renderer::default();
    let rendered = |source: &str| renderer.render_text(source, &variables).unwrap();
    assert_eq!(
        rendered("{{ tasks.plan.state }} {{ tasks.plan.exit_code }} {{ tasks.plan.outputs.title }}"),
        "COMPLETED 0 T"
    );
    assert_eq!(rendered("{{ tasks['unit-test'].state }}{{ tasks['unit-test'].outputs.x | default('-') }}"), "PENDING-");
    let failed = |source: &str| renderer.render_text(source, &variables).unwrap_err().to_string();
    assert_eq!(failed("{{ tasks.plam.state | default('') }}"), "there is no task `plam` (did you mean `plan`?)");
    assert_eq!(
        failed("{{ tasks.unit-test }}"),
        "there is no task `unit` (a name with a dash is written tasks['unit-test'])"
    );
    assert_eq!(failed("{{ tasks['unit-test'].outputs.x }}"), "the task `unit-test` has not run, it has no outputs");
    assert_eq!(failed("{{ tasks.plan.stat }}"), "`tasks.plan` has no `stat` (did you mean `state`?)");
    assert_eq!(failed("{{ tasks }}"), "`tasks` cannot be used as a whole (name one entry of it)");
    assert_eq!(failed("{{ JobType }}"), "`JobType` is not known here");
}

#[test]
fn built_ins_are_environment_variables_too() {
    let environment = job(&[]).environment().to_vec();
    let expected = [
        ("ATTA_JOB_ID", "j1"),
        ("ATTA_NONCE", "0badcafe"),
        ("ATTA_TASK_ATTEMPT", "2"),
        ("ATTA_ROUTED_FROM", "{\"task\":\"plan\"}"),
    ];
    assert_eq!(environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(Builtins::new().with("ParentJobID", 1).environment()[0].0, "ATTA_PARENT_JOB_ID");
}

#[test]
fn go_templates_are_recognised_and_translated() {
    for (source, jinja) in [
        ("x {{.Name}}", "{{ Name }}"),
        (
            "{{if ge (CountByJobTypeAndState \"a\" \"RUNNING\") 10}}true{{end}}",
            "{% if CountByJobTypeAndState(\"a\", \"RUNNING\") >= 10 %} … {% endif %}",
        ),
        ("{{- range .Items }}", "{% for item in Items %} … {% endfor %}"),
        ("{{end}}", "{% endif %} or {% endfor %}"),
        ("{{else}}", "{% else %}"),
        ("{{ $x := .Y }}", "{% set x = Y %}"),
        ("{{ .a.b | upper }}", "{{ a.b | upper }}"),
    ] {
        assert_eq!(go_template_hint(source).unwrap().jinja, jinja, "{source}");
    }
    for source in ["{{ x }}", "{{ 'a' if b else c }}", "{{ x.y }}", "{{ not x }}", "{{ end_of_day }}", "{{ f('x') }}"] {
        assert_eq!(go_template_hint(source), None, "{source}");
    }
    let found = problem("a {{.Name}}", &[]);
    assert_eq!((found.code, found.offset), ("E-TEMPLATE-GO", Some(2)));
    assert_eq!(found.to_string(), "this is Go-template syntax; templates here are Jinja (write {{ Name }})");
}

#[test]
fn inspection_lists_names_with_positions_and_guards() {
    let found = inspect("{% set x = A %}{{ x }}{{ B.c | default('') }}{% if D is defined %}{{ D }}{% endif %}{% for e in tasks['u-t'].outputs %}{{ e }}{% endfor %}").unwrap();
    let seen: Vec<_> = found.references.iter().map(|r| (r.path.join("/"), r.guarded)).collect();
    let expected = [("A", false), ("B/c", true), ("D", true), ("D", true), ("tasks/u-t/outputs", false)];
    assert_eq!(seen, expected.map(|(path, guarded)| (path.to_owned(), guarded)));
    assert_eq!(found.references[0].offset, 11);
    assert!(inspect("{{ x }}").unwrap().whole_expression);
    assert!(inspect("plain").unwrap().plain);
    assert_eq!(inspect("{{ x | uper }}").unwrap_err().code, "E-TEMPLATE-UNKNOWN");
    assert_eq!(inspect("{% include 'x' %}").unwrap_err().code, "E-TEMPLATE-UNSUPPORTED");
    let syntax = inspect("{{ x ").unwrap_err();
    assert_eq!(syntax.code, "E-TEMPLATE-SYNTAX");
    assert!(syntax.message.starts_with("template syntax: "), "{}", syntax.message);
}

#[test]
fn hostile_templates_are_refused_before_they_cost_anything() {
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let nots = format!("{{{{ {} x }}}}", "not ".repeat(50_000));
    let chain = format!("{{{{ 'a'{} }}}}", " ~ 'a'".repeat(100_000));
    let elifs = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(50_000));
    let nested = format!("{}{}", "{% if 1 %}".repeat(5000), "{% endif %}".repeat(5000));
    let sources = [
        "{{ '%1000000000d' | format(1) }}",
        "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set x = 'aaaaaaaaaaaaaaaa' %}{% set x = x*64 %}{% set x = x*64 %}{% set x = x*64 %}{% set x = x*64 %}{{ x }}",
        "{{ 'x' | indent(200000000, true) }}",
        "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
        "{{ ('a' * 1000000) | replace('', 'b' * 1000000) }}",
        "{{ (['x'] * 3) }}",
        "{{ range(100000000) | join('x' * 1000000) }}",
        "{{ range(100000) | join('x' * 1000000) }}",
        "{{ range(1000000000000) | list }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ 'x' | center(100000000) }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set x %}{% for i in range(40000) %}{{ 'a' * 1000 }}{% endfor %}{% endset %}",
        "{% for i in range(2000) %}{{ 'a' * 10000 }}{% endfor %}",
        "{{ 'x' | truncate(5, 'y' * 100000000) }}",
        "{{ ('[' * 1000000) | from_json }}",
        deep.as_str(),
        nots.as_str(),
        chain.as_str(),
        elifs.as_str(),
        nested.as_str(),
    ];
    for source in sources {
        let shown: String = source.chars().take(60).collect();
        let found = Renderer::default().render_text(source, &scope(&[("x", json!(1))])).expect_err(&shown);
        assert!(found.code.starts_with("E-TEMPLATE-"), "{shown}: {found:?}");
        assert!(!found.message.is_empty() && found.message.len() < 400, "{shown}: {found:?}");
    }
    // Shared lists double at no cost, but not without bound.
    let source = format!("{}{{{{ x | length }}}}", "{% set x = [x, x] %}".repeat(40));
    assert_eq!(problem(&source, &[("x", json!(1))]).code, "E-TEMPLATE-LIMIT");
    let source = format!("{}{{{{ x | length }}}}", "{% set x = [x] %}".repeat(80));
    assert_eq!(problem(&source, &[("x", json!(1))]).code, "E-TEMPLATE-LIMIT");
}

/// The same in a process that may have little memory and processor time.
#[test]
fn hostile_templates_cost_little_memory_and_time() {
    let output = std::process::Command::new("sh")
        // 160 MB of addresses, the test program itself included; 20 s of processor time for all of them.
        .args(["-c", "ulimit -v 160000; ulimit -t 20; exec \"$@\"", "_"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "template::tests::hostile_templates_are_refused_before_they_cost_anything",
            "--test-threads=1",
        ])
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
