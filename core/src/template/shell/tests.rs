//! What is accepted, what is refused, and what the messages say.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ShellDialect, check_script};
use crate::protocol::ant::RenderedScript;
use crate::template::{Renderer, TemplateProblem, Value};

fn names() -> BTreeMap<String, Value> {
    let outside = [
        ("x", json!("a'b $(touch pwned)")),
        ("dash", json!("-rf")),
        ("n", json!(42)),
        ("neg", json!(-3)),
        ("flag", json!(true)),
        ("empty", json!("")),
        ("nothing", json!(null)),
        ("nul", json!("a\u{0}b")),
    ];
    let mut names: BTreeMap<String, Value> =
        outside.iter().map(|(name, value)| ((*name).to_owned(), Value::outside(value))).collect();
    names.insert("mine".to_owned(), Value::trusted(&json!("echo own")));
    names
}

fn script(entries: &[&str]) -> Result<RenderedScript, TemplateProblem> {
    Renderer::default().render_script(entries, ShellDialect::Bash, &names())
}

fn refusal(source: &str) -> String {
    match script(&[source]) {
        Ok(script) => panic!("accepted: {source} → {}", script.text),
        Err(problem) => format!("{}: {problem}", problem.code),
    }
}

#[test]
fn values_are_bound_and_the_text_gets_the_reference_that_fits() {
    for (source, text) in [
        ("echo {{ x }}", "echo \"${__atta_1}\"\n"),
        ("echo \"Hello {{ x }}!\"", "echo \"Hello ${__atta_1}!\"\n"),
        ("echo 'Hello {{ x }}!'", "echo 'Hello '\"${__atta_1}\"'!'\n"),
        ("cat <<EOF\na {{ x }}\nEOF\necho 'b'", "cat <<EOF\na ${__atta_1}\nEOF\necho 'b'\n"),
        ("echo $(( {{ n }} + {{ neg }} ))", "echo $(( ${__atta_1} + (${__atta_2}) ))\n"),
        ("# {{ x }}\n:", "# a b   touch pwned \n:\n"),
        ("echo \"$(cat {{ x }})\"", "echo \"$(cat \"${__atta_1}\")\"\n"),
        ("v={{ x }} cmd", "v=\"${__atta_1}\" cmd\n"),
        ("cmd > {{ x }} 2>&1", "cmd > \"${__atta_1}\" 2>&1\n"),
        ("for i in {{ x }} b; do echo $i; done", "for i in \"${__atta_1}\" b; do echo $i; done\n"),
        (
            "case {{ x }} in a|b) echo {{ x }};; *) :;; esac",
            "case \"${__atta_1}\" in a|b) echo \"${__atta_2}\";; *) :;; esac\n",
        ),
        ("a=({{ x }} b)", "a=(\"${__atta_1}\" b)\n"),
        ("[[ {{ x }} == y ]]", "[[ \"${__atta_1}\" == y ]]\n"),
        ("f() { echo {{ x }}; }", "f() { echo \"${__atta_1}\"; }\n"),
        ("{% if flag %}echo {{ x }}{% endif %}\n", "echo \"${__atta_1}\"\n"),
        ("{% set v %}{{ x }}-{{ x }}{% endset %}echo {{ v }}", "echo \"${__atta_1}\"\n"),
        ("echo ${#x} {## comment ##}", "echo ${#x} \n"),
        ("{{ mine | raw }} a", "echo own a\n"),
        ("rm -- {{ dash }} && ls {{ dash | option }}", "rm -- \"${__atta_1}\" && ls \"${__atta_2}\"\n"),
        ("sh -c 'echo \"$1\"' _ {{ x }}", "sh -c 'echo \"$1\"' _ \"${__atta_1}\"\n"),
        ("timeout {{ n }} cmd {{ x }}", "timeout \"${__atta_1}\" cmd \"${__atta_2}\"\n"),
        (
            "eval {{ n }}; [[ {{ n }} -eq {{ neg }} ]]",
            "eval \"${__atta_1}\"; [[ \"${__atta_2}\" -eq \"${__atta_3}\" ]]\n",
        ),
    ] {
        let rendered = script(&[source]).unwrap_or_else(|problem| panic!("{source}: {problem}"));
        assert_eq!(rendered.text, text, "{source}");
    }
    assert_eq!(script(&["echo {{ x }}"]).unwrap().preamble, "__atta_1='a'\\''b $(touch pwned)'\n");
    assert_eq!(script(&["echo a", "echo b\n"]).unwrap().text, "echo a\necho b\n");
    assert_eq!(
        script(&["{% set v %}{{ x }}.{% endset %}: {{ v }}"]).unwrap().preamble,
        "__atta_1='a'\\''b $(touch pwned).'\n"
    );
}

#[test]
fn each_refused_place_says_why_and_what_to_write() {
    for (source, message) in [
        ("echo `cat {{ x }}`", "E-SHELL-PLACE: a value cannot stand inside backticks (write $( … ) instead of ` … `)"),
        ("echo $'{{ x }}'", "E-SHELL-PLACE: a value cannot stand inside $'…' (use double quotes: \"{{ x }}\")"),
        ("echo $\"{{ x }}\"", "E-SHELL-PLACE: a value cannot stand inside $\"…\" (use plain double quotes: \"…\")"),
        (
            "echo ${a:-{{ x }}}",
            "E-SHELL-PLACE: a value cannot stand inside ${…} (assign it to a variable first: x={{ x }}, then use $x)",
        ),
        (
            "echo \"${a:-\"{{ x }}\"}\"",
            "E-SHELL-PLACE: a value cannot stand inside ${…} (assign it to a variable first: x={{ x }}, then use $x)",
        ),
        (
            "echo ${{ x }}",
            "E-SHELL-PLACE: a value cannot stand right behind `$` (leave the `$` out, or escape it: \\$)",
        ),
        (
            "echo \\{{ x }}",
            "E-SHELL-PLACE: a value cannot stand right behind a backslash (leave the backslash out: the value needs no escaping)",
        ),
        (
            "cat <<{{ x }}\n",
            "E-SHELL-PLACE: a value cannot stand in the delimiter of a here-document (write a fixed word: <<EOF)",
        ),
        (
            "cat <<'EOF'\n{{ x }}\nEOF\n",
            "E-SHELL-PLACE: a value cannot stand in a here-document with a quoted delimiter (`<<'EOF'`) (write <<EOF without quotes (then escape the document's own $ as \\$), or use `environment:`)",
        ),
        (
            "echo $(( {{ x }} ))",
            "E-TEMPLATE-VALUE: only a whole number can stand in shell arithmetic (compute it in the template: {{ x | int + 1 }})",
        ),
        (
            "rm {{ dash }}",
            "E-SHELL-OUTSIDE: this value from outside starts with `-`: the program would take it for an option (write -- before it, put it in quotes if the program reads no options there, or allow it: {{ x | option }})",
        ),
        (
            "echo {{ x | raw }}",
            "E-SHELL-OUTSIDE: `| raw` would make a value from outside part of the script (leave `| raw` out: the value is passed on safely as it is)",
        ),
        (
            "echo {{ nothing }}",
            "E-TEMPLATE-VALUE: the value is none, which has no text in a script (give it a default: {{ x | default('', true) }})",
        ),
        ("echo {{ nul }}", "E-TEMPLATE-VALUE: the value contains a NUL byte, which no shell can hold"),
        (
            "echo 'a",
            "E-SHELL-OPEN: this entry of the script ends inside single quotes (close it in the same entry; use `- |` for an entry of several lines)",
        ),
        (
            "a {# b #}",
            "E-SHELL-COMMENT: `{# … #}` is no comment in a script: `{#` is shell syntax (write {## … ##} for a template comment, or a shell comment: # …)",
        ),
    ] {
        assert_eq!(refusal(source), message, "{source}");
    }
}

#[test]
fn commands_names_cannot_be_values() {
    let expected = "E-SHELL-PLACE: a value cannot stand where the name of a command is read";
    for source in [
        "{{ x }} a",
        "\"{{ x }}\"",
        "./{{ x }}",
        "{{ x }}=1",
        "if {{ x }}; then :; fi",
        "a | {{ x }}",
        "a && b{{ x }}",
        "$({{ x }})",
        "! {{ x }}",
        "( {{ x }} )",
        "{ {{ x }}; }",
        "v=1 {{ x }}",
        ">f {{ x }}",
        "sudo {{ x }}",
        "env A=b {{ x }}",
        "timeout -s KILL 5 {{ x }}",
        "sudo -u me {{ x }}",
        "exec {{ x }}",
        "case a in a) {{ x }};; esac",
        "a & {{ x }}",
        "a\n{{ x }}",
        "while {{ x }}; do :; done",
        "f() { {{ x }}; }",
        "function f { {{ x }}; }",
        "for i do {{ x }}; done",
        "a[{{ x }}]=1",
        "timeout 5 {{ x }}",
        "{{ empty }}{{ x }}",
    ] {
        assert!(refusal(source).starts_with(expected), "{source}: {}", refusal(source));
    }
    assert!(refusal("for {{ x }} in a; do :; done").contains("as the name of a variable or function"));
    assert!(refusal("function {{ x }} { :; }").contains("as the name of a variable or function"));
}

#[test]
fn values_from_outside_are_refused_where_they_would_be_evaluated() {
    let expected = "E-SHELL-OUTSIDE: a value from outside cannot stand here unless it is a whole number or a boolean: ";
    for source in [
        "eval {{ x }}",
        "printf {{ x }}",
        "printf \"{{ x }}\" a",
        "timeout -s KILL 5 xargs {{ x }}",
        "eval \"echo {{ x }}\"",
        "eval 'echo {{ x }}'",
        "sh -c {{ x }}",
        "bash -ec \"{{ x }}\"",
        "bash -euo pipefail -c {{ x }}",
        "sudo bash -c {{ x }}",
        "env -i A=b sh -c {{ x }}",
        "docker exec c sh -c {{ x }}",
        "/bin/sh -c {{ x }}",
        "su me -c {{ x }}",
        "ssh host {{ x }}",
        "xargs {{ x }}",
        "a | xargs -n 1 {{ x }}",
        "trap {{ x }} EXIT",
        "let {{ x }}",
        "declare -i v={{ x }}",
        "local {{ x }}",
        "export {{ x }}",
        "read {{ x }}",
        "printf -v {{ x }} a",
        "test -v {{ x }}",
        "[ -v {{ x }} ]",
        "[[ -v {{ x }} ]]",
        "[[ {{ x }} -eq 1 ]]",
        "[[ 1 -lt {{ x }} ]]",
        "[ {{ x }} -gt 1 ]",
        "[[ a == b && {{ x }} -ne 1 ]]",
        "python3 -c \"{{ x }}\"",
        "perl -ne {{ x }}",
        "node --eval={{ x }}",
        "awk {{ x }} f",
        "awk -v a=1 \"{{ x }}\"",
        "sed \"s/a/{{ x }}/\"",
        "sed -e {{ x }}",
        "eval \"$(echo {{ x }})\"",
        "echo $(( $(echo {{ x }}) ))",
        "unset {{ x }}",
        ". {{ x }}",
        "source {{ x }}",
        "make V={{ x }}",
        "command eval {{ x }}",
        "function f { eval {{ x }}; }",
        "for i do eval {{ x }}; done",
        "if true; then eval {{ x }}; fi",
        "a=([{{ x }}]=1)",
        "nohup setsid bash -c {{ x }} &",
        "\\eval {{ x }}",
        "'eval' {{ x }}",
    ] {
        assert!(refusal(source).starts_with(expected), "{source}: {}", refusal(source));
    }
    // Values that the author chose are the author's business.
    let rendered = script(&["eval {{ mine }}"]).unwrap();
    assert_eq!(rendered.text, "eval \"${__atta_1}\"\n");
    for source in [
        "awk -v a={{ x }} '{print a}'",
        "bash f.sh {{ x }}",
        "export A={{ x }}",
        "sed -f p {{ x }}",
        "git commit -m {{ x }}",
    ] {
        assert!(script(&[source]).is_ok(), "{source}: {}", refusal(source));
    }
}

#[test]
fn nothing_may_stand_behind_what_the_lexer_cannot_follow() {
    for source in [
        "cat <<$d\na\n$d\necho {{ x }}",
        "echo \"${a:-'}'}\" {{ x }}",
        "echo $[1+1] {{ x }}",
        "echo $((a) | b) {{ x }}",
        "ls !(a|b) {{ x }}",
        "x=$(cat <<E)\nE\necho {{ x }}",
        "a )\necho {{ x }}",
        "cat <<E\na\\\nE\necho {{ x }}\nE\n",
    ] {
        assert!(
            refusal(source).contains("it is not certain how the shell reads what follows"),
            "{source}: {}",
            refusal(source)
        );
    }
}

#[test]
fn entries_must_end_outside_of_everything() {
    for (source, inside) in [
        ("echo \"a", "double quotes"),
        ("echo $(a", "`$(`"),
        ("cat <<EOF\na", "the here-document that ends with \"EOF\""),
        ("echo `a", "backticks"),
        ("echo ${a", "`${`"),
        ("a=(b", "an array's `(`"),
        ("echo a \\", "a line that goes on behind a backslash"),
        ("echo a\\", "a line that goes on behind a backslash"),
    ] {
        assert!(refusal(source).contains(&format!("ends inside {inside}")), "{source}: {}", refusal(source));
        let found = check_script(&["echo ok", source], ShellDialect::Bash).unwrap_err();
        assert_eq!((found.code, found.entry), ("E-SHELL-OPEN", 1), "{source}");
    }
    assert!(script(&["if true; then", "echo {{ x }}", "fi"]).is_ok());
}

#[test]
fn upload_checks_see_every_way_through_a_script() {
    let check = |source: &str| check_script(&[source], ShellDialect::Bash);
    let code = |source: &str| check(source).unwrap_err().code;
    assert_eq!(code("echo {% if a %}`{{ x }}`{% endif %}"), "E-SHELL-PLACE");
    assert_eq!(code("{% if a %}echo '{% endif %}{{ x }}{% if a %}'{% endif %}"), "E-SHELL-PLACE");
    assert_eq!(code("echo {% for i in l %}'{% endfor %}"), "E-SHELL-OPEN");
    let found = check("{% if a %}sh -c {{ x }}{% endif %}\necho {{ y | raw }} $(( {{ z }} )) {{ w }}").unwrap();
    let seen: Vec<_> = found.iter().map(|warning| (warning.code, warning.offset)).collect();
    assert_eq!(seen, [("W-SECOND-EVAL", 16), ("W-RAW", 40)]);
    assert_eq!(found[0].message, "the value is evaluated a second time: `sh -c` evaluates its argument");
    // Many branches do not multiply the work.
    let many = "{% if a %}echo 'x'{% else %}echo \"y\" z{% endif %}\n".repeat(2000);
    assert!(check(&many).is_ok());
}

#[test]
fn sources_of_other_programs_take_no_value_from_outside() {
    let render = |entry: &str| Renderer::default().render_interpreter_source(&[entry], &names());
    assert_eq!(render("print('{{ mine }}')").unwrap(), "print('echo own')\n");
    let problem = render("print('{{ x }}')").unwrap_err();
    assert_eq!(problem.code, "E-SHELL-OUTSIDE");
    assert_eq!(
        problem.to_string(),
        "a value from outside cannot be written into this program's source: it could become code (pass it by `environment:` and read it there, e.g. os.environ[\"TITLE\"])"
    );
}

#[test]
fn problems_name_the_entry_and_the_offset() {
    let problem = script(&["echo a", "echo `{{ x }}`"]).unwrap_err();
    assert_eq!((problem.entry, problem.offset), (1, Some(6)));
}
