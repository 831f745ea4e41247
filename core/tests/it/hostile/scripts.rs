//! Scripts that would let a value become a program.

use std::collections::BTreeMap;

use atta_core::template::{Renderer, ShellDialect, Value};

use super::{Case, Class, case, with_task};

/// What the loader says of scripts, whatever the value will be.
const ATTACKS: &[(Class, &[&str])] = &[
    (
        Class::Code("E-SHELL-PLACE"),
        &[
            "echo $[ {{ X }} ]",
            "echo `echo {{ X }}`",
            "echo $'{{ X }}'",
            "echo ${y:-{{ X }}}",
            "echo ${{ '{' }}{{ X }}}",
            "echo ${{ X }}",
            "echo \\{{ X }}",
            "cat <<{{ X }}\nx\nEOF",
            "cat <<'EOF'\n{{ X }}\nEOF",
            "{{ X }}",
            "{{ X }} -rf /",
            "\"{{ X }}\" now",
            "time {{ X }}",
            "a[{{ X }}]=1",
            "if true; then {{ X }}; fi",
            "for i in 1; do {{ X }}; done",
            "case x in x) {{ X }};; esac",
            "f() { {{ X }}; }; f",
            "coproc {{ X }}",
        ],
    ),
    (
        Class::Code("E-SHELL-OPEN"),
        &["echo \"unclosed {{ X }}", "echo 'unclosed", "echo $(unclosed", "cat <<EOF\nunclosed"],
    ),
    (Class::Code("E-TEMPLATE-UNKNOWN"), &["echo {{ X | safe }}"]),
    (
        Class::Warned("W-SECOND-EVAL"),
        &[
            "eval {{ X }}",
            "eval \"{{ X }}\"",
            "sh -c {{ X }}",
            "bash -c \"{{ X }}\"",
            "sh -c 'echo {{ X }}'",
            "ssh host {{ X }}",
            "xargs {{ X }}",
            "trap {{ X }} EXIT",
            "let {{ X }}",
            "declare -i n={{ X }}",
            "read {{ X }}",
            "printf -v {{ X }} x",
            "test -v {{ X }}",
            "bash <<EOF\n{{ X }}\nEOF",
            "echo {{ X }} | sh",
            "echo {{ X }} | bash -s",
            "python3 -c \"{{ X }}\"",
            "perl -e '{{ X }}'",
            "awk \"{{ X }}\"",
            "sed -e \"{{ X }}\"",
            "find . -exec {{ X }} \\;",
            "alias a={{ X }}",
            "source {{ X }}",
            ". {{ X }}",
            "PATH={{ X }}",
            "LD_PRELOAD={{ X }} true",
            "unset {{ X }}",
        ],
    ),
    (Class::Warned("W-RAW"), &["{{ X | raw }}", "echo {{ X | raw }}"]),
    (
        Class::Accepted,
        &[
            "[[ {{ X }} -eq 1 ]]",
            "echo $(( {{ X }} ))",
            "(( {{ X }} ))",
            "env {{ X }}",
            "sudo {{ X }}",
            "exec {{ X }}",
            "command {{ X }}",
            "nohup {{ X }}",
            "IFS={{ X }}",
            "timeout 5 {{ X }}",
        ],
    ),
];

/// A value can do no harm there: it is data, whatever it holds.
const HARMLESS: &[&str] = &["IFS={{ X }}"];

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (class, scripts) in ATTACKS {
        for script in *scripts {
            let lines = script.lines().map(|line| format!("          {line}\n")).collect::<Vec<_>>().concat();
            all.push(case(
                format!("script {script:?}"),
                with_task(&format!("    script:\n      - |\n{lines}")),
                *class,
            ));
        }
    }
    for program in ["python3", "perl", "node", "awk"] {
        let keys = format!("    interpreter: {program}\n    script: [\"print('{{{{ X }}}}')\"]\n");
        all.push(case(format!("a value in a program for {program}"), with_task(&keys), Class::Code("E-SHELL-OUTSIDE")));
    }
    all.push(case(
        "a shell that is none",
        with_task("    shell: python3\n    script: [echo]\n"),
        Class::Code("E-VALUE"),
    ));
    all.push(case(
        "a template as shell",
        with_task("    shell: [\"{{ X }}\"]\n    script: [echo]\n"),
        Class::Code("E-VALUE"),
    ));
    all.push(case(
        "a long script",
        with_task(&format!("    script: [\"{}\"]\n", "echo x; ".repeat(20_000))),
        Class::Accepted,
    ));
    all.push(case(
        "many entries",
        with_task(&format!("    script: [{}]\n", "'echo \"{{ X }}\"', ".repeat(2_000))),
        Class::Accepted,
    ));
    all.push(case(
        "deep substitutions",
        with_task(&format!("    script: ['echo {}x{}']\n", "$(echo ".repeat(5_000), ")".repeat(5_000))),
        Class::Accepted,
    ));
    all.push(case(
        "deep braces",
        with_task(&format!("    script: ['{} true; {}']\n", "{ ".repeat(5_000), "}; ".repeat(5_000))),
        Class::Accepted,
    ));
    all
}

/// What is only a warning at upload, or nothing at all, because whole numbers may stand there, is refused when the value
/// is known and comes from outside.
#[test]
fn no_hostile_value_becomes_a_part_of_a_program() {
    let renderer = Renderer::default();
    let mut wrong = Vec::new();
    for script in ATTACKS.iter().flat_map(|(_, scripts)| *scripts).filter(|script| script.contains("{{ X")) {
        for value in ["a[$(touch pwned)]", "$(touch pwned)", "'; touch pwned; '", "-c id", "touch pwned"] {
            let names: BTreeMap<String, Value> = [("X".to_owned(), Value::outside(&serde_json::json!(value)))].into();
            for dialect in [ShellDialect::Posix, ShellDialect::Bash] {
                let rendered = renderer.render_script(&[script], dialect, &names);
                if rendered.is_ok() != HARMLESS.contains(script) {
                    wrong.push(format!("{script:?} with {value:?} in {dialect:?}: {rendered:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
