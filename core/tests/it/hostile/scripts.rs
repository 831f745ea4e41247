//! Scripts that would let a value become a program.

use super::{Case, Class, case, with_task};

const ATTACKS: &[&str] = &[
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
    "[[ {{ X }} -eq 1 ]]",
    "echo $(( {{ X }} ))",
    "echo $[ {{ X }} ]",
    "(( {{ X }} ))",
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
    "env {{ X }}",
    "sudo {{ X }}",
    "exec {{ X }}",
    "command {{ X }}",
    "time {{ X }}",
    "nohup {{ X }}",
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
    "IFS={{ X }}",
    "a[{{ X }}]=1",
    "unset {{ X }}",
    "echo \"unclosed {{ X }}",
    "echo 'unclosed",
    "echo $(unclosed",
    "cat <<EOF\nunclosed",
    "if true; then {{ X }}; fi",
    "for i in 1; do {{ X }}; done",
    "case x in x) {{ X }};; esac",
    "f() { {{ X }}; }; f",
    "coproc {{ X }}",
    "timeout 5 {{ X }}",
    "{{ X | raw }}",
    "echo {{ X | raw }}",
    "echo {{ X | safe }}",
];

pub(super) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = ATTACKS
        .iter()
        .map(|script| {
            let lines: String = script.lines().map(|line| format!("          {line}\n")).collect();
            case(format!("script {script:?}"), with_task(&format!("    script:\n      - |\n{lines}")), Class::Refused)
        })
        .collect();
    for program in ["python3", "perl", "node", "awk"] {
        let keys = format!("    interpreter: {program}\n    script: [\"print('{{{{ X }}}}')\"]\n");
        all.push(case(format!("a value in a program for {program}"), with_task(&keys), Class::Refused));
    }
    all.push(case("a shell that is none", with_task("    shell: python3\n    script: [echo]\n"), Class::Refused));
    all.push(case("a template as shell", with_task("    shell: [\"{{ X }}\"]\n    script: [echo]\n"), Class::Refused));
    all.push(case(
        "a long script",
        with_task(&format!("    script: [\"{}\"]\n", "echo x; ".repeat(100_000))),
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
        Class::Refused,
    ));
    all.push(case(
        "deep braces",
        with_task(&format!("    script: ['{} true; {}']\n", "{ ".repeat(5_000), "}; ".repeat(5_000))),
        Class::Accepted,
    ));
    all
}
