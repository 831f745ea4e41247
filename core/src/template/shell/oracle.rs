//! The oracle: real shells run hostile values in every place; nothing executes, every accepted value arrives byte for byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::json;

use super::ShellDialect;
use crate::protocol::ant::RenderedScript;
use crate::template::{Renderer, Value};

/// Places in a script, and what must come out; `@` is the value.
const PLACES: &[(&str, &str)] = &[
    ("printf '%s\\0' {{ v }}", "@\0"),
    ("printf '%s\\0' \"{{ v }}\"", "@\0"),
    ("printf '%s\\0' '{{ v }}'", "@\0"),
    ("printf '%s\\0' -- {{ v }}", "--\0@\0"),
    ("printf '%s\\0' {{ v | option }}", "@\0"),
    ("printf '%s\\0' pre{{ v }}post", "pre@post\0"),
    ("printf '%s\\0' \"pre {{ v }} post\"", "pre @ post\0"),
    ("printf '%s\\0' 'pre {{ v }} post'", "pre @ post\0"),
    ("printf '%s\\0' 'a'{{ v }}\"b\"", "a@b\0"),
    ("printf '%s\\0' a={{ v }}", "a=@\0"),
    ("printf '%s\\0' \"{{ v }}{{ v }}\"", "@@\0"),
    ("printf '%s\\0' x{{ v }}{{ v }}", "x@@\0"),
    ("printf '%s\\0' '{{ v }}''{{ v }}'", "@@\0"),
    ("printf '%s\\0' \"'{{ v }}'\"", "'@'\0"),
    ("printf '%s\\0' '\"{{ v }}\"'", "\"@\"\0"),
    ("printf '%s\\0' \"\\\"{{ v }}\\\"\"", "\"@\"\0"),
    ("printf '%s\\0' \"\\$ {{ v }} \\\\\"", "$ @ \\\0"),
    ("printf '%s\\0' \\\n  \"{{ v }}\"", "@\0"),
    ("printf '%s\\0' a\\ b{{ v }}", "a b@\0"),
    ("printf '%s\\0' \"#{{ v }}\" # it's {{ v }}", "#@\0"),
    ("# {{ v }}\nprintf '%s\\0' \"{{ v }}\"", "@\0"),
    ("printf '%s\\0' a#b{{ v }}", "a#b@\0"),
    ("printf '%s\\0' $#\"{{ v }}\"", "0@\0"),
    ("a={{ v }}; printf '%s\\0' \"$a\"", "@\0"),
    ("a=\"{{ v }}\" b='{{ v }}'; printf '%s\\0' \"$a$b\"", "@@\0"),
    ("a=x{{ v }}y; printf '%s\\0' \"$a\"", "x@y\0"),
    ("export A={{ v }}; printf '%s\\0' \"$A\"", "@\0"),
    ("cat <<EOF\n{{ v }}\nEOF", "@\n"),
    ("cat <<EOF\na \"{{ v }}\" '{{ v }}' \\$x\nEOF\nprintf '%s\\0' {{ v | option }}", "a \"@\" '@' $x\n@\0"),
    ("cat <<-EOF\n\tx{{ v }}\n\tEOF", "x@\n"),
    ("cat <<A; cat <<B\nx{{ v }}\nA\n{{ v }}\nB", "x@\n@\n"),
    ("cat <<A <<B\nx{{ v }}\nA\n{{ v }}\nB", "@\n"),
    ("cat <<EOF\n$(printf '%s.' \"{{ v }}\") {{ v }}\nEOF", "@. @\n"),
    ("cat <<EOF | cat\n{{ v }}\nEOF\nprintf '%s\\0' '{{ v }}'", "@\n@\0"),
    ("cat <<'EOF'\n$x `y` '\nEOF\nprintf '%s\\0' \"{{ v }}\"", "$x `y` '\n@\0"),
    ("printf '%s\\0' \"$(printf '%s.' \"{{ v }}\")\"", "@.\0"),
    ("printf '%s\\0' \"$(printf '%s.' {{ v | option }})\"", "@.\0"),
    ("printf '%s\\0' \"$(printf '%s.' '{{ v }}')\"", "@.\0"),
    ("printf '%s\\0' \"$(printf '%s.' \"$(printf '%s' x\"{{ v }}\"y)\")\"", "x@y.\0"),
    ("printf '%s\\0' \"$(case a in (b) :;; a) printf '%s.' \"{{ v }}\";; esac)\"", "@.\0"),
    ("printf '%s\\0' \"$(case a in b) :;; a) printf '%s.' '{{ v }}';; esac)\"", "@.\0"),
    ("printf '%s\\0' \"$(cat <<EOF\nx{{ v }}y\nEOF\n)\"", "x@y\0"),
    ("printf '%s\\0' \"$( (printf '%s.' \"{{ v }}\") )\"", "@.\0"),
    ("case {{ v }} in *) printf '%s\\0' \"{{ v }}\";; esac", "@\0"),
    ("x={{ v }}; case $x in {{ v }}) printf '%s\\0' same;; *) printf '%s\\0' other;; esac", "same\0"),
    ("case a in a) printf '%s\\0' \"{{ v }}\" ;; b) : ;; esac", "@\0"),
    ("if [ \"{{ v }}\" = x ]; then :; else printf '%s\\0' \"{{ v }}\"; fi", "@\0"),
    ("for i in \"{{ v }}\" '{{ v }}'; do printf '%s\\0' \"$i\"; done", "@\0@\0"),
    ("for i in {{ v }}; do printf '%s\\0' \"$i\"; done", "@\0"),
    ("f() { printf '%s\\0' \"$1\" \"{{ v }}\"; }; f \"{{ v }}\"", "@\0@\0"),
    ("f () {\nprintf '%s\\0' \"$@\"\n}\nf '{{ v }}'", "@\0"),
    ("(printf '%s\\0' \"{{ v }}\")", "@\0"),
    ("{ printf '%s\\0' \"{{ v }}\"; }", "@\0"),
    ("true && printf '%s\\0' \"{{ v }}\" || :", "@\0"),
    ("printf '%s\\0' \"{{ v }}\" | cat", "@\0"),
    ("printf '%s\\0' \"{{ v }}\" 2>&1", "@\0"),
    ("while :; do printf '%s\\0' \"{{ v }}\"; break; done", "@\0"),
    ("set -- \"{{ v }}\" '{{ v }}'; printf '%s\\0' \"$2\" \"$#\"", "@\x002\0"),
    ("sh -c 'printf \"%s\\0\" \"$1\"' _ \"{{ v }}\"", "@\0"),
    ("A=\"{{ v }}\" sh -c 'printf \"%s\\0\" \"$A\"'", "@\0"),
    ("printf '%s\\0' \"`echo b`{{ v }}\"", "b@\0"),
    ("printf '%s\\0' \"${HOME:+a}{{ v }}\"", "a@\0"),
    ("printf '%s\\0' ${#x}\"{{ v }}\"", "0@\0"),
    ("printf '%s\\0' $((1+2))\"{{ v }}\" $(( (1) ))", "3@\x001\0"),
    ("{% if true %}printf '%s\\0' \"{{ v }}\"{% endif %}", "@\0"),
    ("printf '%s\\0'{% for i in [1, 2] %} \"{{ v }}{{ i }}\"{% endfor %}", "@1\0@2\0"),
    ("{% set c %}[{{ v }}]{% endset %}printf '%s\\0' {{ c }}", "[@]\0"),
    ("{% macro m(a) %}<{{ a }}>{% endmacro %}printf '%s\\0' {{ m(v) }} \"{{ m(v) }}\"", "<@>\0<@>\0"),
    ("printf '%s\\0' {% filter trim('') %}({{ v }}){% endfilter %}", "(@)\0"),
    ("printf '%s\\0' {{ '-' ~ v | option }}", "-@\0"),
    ("x='a\nb'; printf '%s\\0' \"$x{{ v }}\"", "a\nb@\0"),
];

const BASH_PLACES: &[(&str, &str)] = &[
    ("[[ {{ v }} == \"\" ]]; printf '%s\\0' \"{{ v }}\"", "@\0"),
    ("[[ \"{{ v }}\" == {{ v }} ]] && printf '%s\\0' same", "same\0"),
    ("a=({{ v }} \"{{ v }}\" '{{ v }}'); printf '%s\\0' \"${a[@]}\"", "@\0@\0@\0"),
    ("cat <<< \"{{ v }}\"", "@\n"),
    ("cat <<< {{ v }}", "@\n"),
    ("printf '%s\\0' $'a\\'b'\"{{ v }}\"", "a'b@\0"),
    ("cat <(printf '%s\\0' \"{{ v }}\")", "@\0"),
    ("((1 < 2)) && printf '%s\\0' \"{{ v }}\"", "@\0"),
    ("for ((i=0; i<1; i++)); do printf '%s\\0' '{{ v }}'; done", "@\0"),
    ("function f { printf '%s\\0' \"{{ v }}\"; }; f", "@\0"),
    ("[[ a =~ ^(a|b)$ ]] && printf '%s\\0' \"{{ v }}\"", "@\0"),
    ("printf '%s\\0' \"{{ v }}\" &> /dev/stdout", "@\0"),
];

const HOSTILE: &[&str] = &[
    "",
    " ",
    "a",
    "plain words",
    "'",
    "\"",
    "\\",
    "`",
    "$",
    "''",
    "\"\"",
    "'\"'\"'",
    "\\'",
    "\\\\",
    "\\n",
    "%s%n",
    "\n",
    "a\n",
    "\na\n\n",
    "\t",
    "$(touch pwned)",
    "`touch pwned`",
    "$(touch pwned)`\"'{{7*7}}",
    "'; touch pwned; '",
    "\"; touch pwned; \"",
    "'$(touch pwned)'",
    "\"$(touch pwned)\"",
    "\\$(touch pwned)",
    "\\`touch pwned\\`",
    "; touch pwned",
    "& touch pwned &",
    "| touch pwned",
    "\ntouch pwned\n",
    "|| touch pwned",
    "&& touch pwned",
    "> pwned",
    ">pwned",
    "< /etc/passwd",
    "$((a[$(touch pwned)]))",
    "a[$(touch pwned)]",
    "${x:=$(touch pwned)}",
    "${IFS}",
    "$IFS",
    "$HOME",
    "$1",
    "$@",
    "$*",
    "~",
    "~root",
    "*",
    "?",
    "[a-z]*",
    "{a,b}",
    "{1..3}",
    "!",
    "!!",
    "!x",
    "#",
    "# comment",
    "-n",
    "-e",
    "--",
    "-",
    "-rf /",
    "--help",
    "EOF",
    "\nEOF\n",
    "\nEOF\ntouch pwned\n",
    "x\nEOF\n$(touch pwned)\n",
    "A",
    "\nA\ntouch pwned\nB\n",
    "<<EOF",
    ")",
    "(",
    "))",
    "((",
    "}",
    "{",
    "]]",
    "[[",
    ";;",
    "esac",
    "done",
    "fi",
    "in",
    "a) touch pwned;;",
    "x) touch pwned;; *) touch pwned",
    "$'\\x27'",
    "$\"a\"",
    "\u{7f}",
    "\u{1}\u{2}\u{1b}[31m",
    "\u{81}\u{82}\u{88}",
    "Á é ü 漢字 🐜",
    "\u{a0}\u{2028}\u{feff}",
    "\r\n",
    "a\r",
    "\u{c}\u{b}",
    "${__atta_1}",
    "$__atta_1",
    "\"${__atta_1}\"",
    "__atta_1=x",
    "a=b",
    "a b  c   d",
    " lead",
    "trail ",
    "\\\n",
    "a\\",
    "'\\''",
    "%",
    "%%",
    "0",
    "42",
    "true",
    "$(",
    "${",
    "$((",
    "`",
    "'$(",
    "\"`",
    "\\\"$(touch pwned)\\\"",
    "\u{fffc}",
    "${@:$(touch pwned)}",
    "@(a|b)",
    "!(a)",
    "<(touch pwned)",
    ">(touch pwned)",
];

struct Case {
    source: String,
    script: RenderedScript,
    value: String,
    expected: Vec<u8>,
}

fn render(source: &str, dialect: ShellDialect, value: &str) -> Option<RenderedScript> {
    let names: BTreeMap<String, Value> = [("v".to_owned(), Value::outside(&json!(value)))].into_iter().collect();
    Renderer::default().render_script(&[source], dialect, &names).ok()
}

/// Runs cases in one shell process, each in a subshell that reads the script as an ant lays it out.
fn run(shell: &str, cases: &[Case]) {
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let mut driver = String::new();
    for (number, case) in cases.iter().enumerate() {
        let path = |kind: &str| directory.path().join(format!("{number}.{kind}"));
        std::fs::write(path("values"), &case.script.preamble).unwrap();
        let text = format!(". '{}'; {}", path("values").display(), case.script.text);
        std::fs::write(path("sh"), text).unwrap();
        let _ = writeln!(driver, "( . '{}' ) >'{}' 2>/dev/null", path("sh").display(), path("out").display());
    }
    let driver_path = directory.path().join("driver");
    std::fs::write(&driver_path, driver).unwrap();
    let status = Command::new(shell)
        .arg(&driver_path)
        .current_dir(&work)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    for (number, case) in cases.iter().enumerate() {
        let got = std::fs::read(directory.path().join(format!("{number}.out"))).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(&case.expected),
            "{shell}: {:?} in {:?}\n{}\n{}",
            case.value,
            case.source,
            case.script.preamble,
            case.script.text
        );
    }
    assert!(status.code().is_some(), "{shell} was killed");
    assert_nothing_ran(&work, shell);
}

fn assert_nothing_ran(work: &Path, shell: &str) {
    let left: Vec<_> = std::fs::read_dir(work).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{shell} executed a value: {left:?}");
}

/// All pairs of places and values, or every second one: then another shell takes the others.
fn cases(places: &[(&str, &str)], dialect: ShellDialect, share: Option<usize>) -> (Vec<Case>, usize) {
    let mut accepted = Vec::new();
    let mut refused = 0;
    for (row, (source, expected)) in places.iter().enumerate() {
        for (column, value) in HOSTILE.iter().enumerate() {
            if share.is_some_and(|share| (row + column) % 2 != share) {
                continue;
            }
            match render(source, dialect, value) {
                Some(script) => accepted.push(Case {
                    source: (*source).to_owned(),
                    script,
                    value: (*value).to_owned(),
                    expected: expected.replace('@', value).into_bytes(),
                }),
                None => refused += 1,
            }
        }
    }
    (accepted, refused)
}

#[test]
fn hostile_values_arrive_byte_for_byte_in_dash() {
    let (accepted, refused) = cases(PLACES, ShellDialect::Posix, Some(0));
    assert!(accepted.len() > 3000, "{} accepted, {refused} refused", accepted.len());
    run("dash", &accepted);
}

#[test]
fn hostile_values_arrive_byte_for_byte_in_bash() {
    let (mut accepted, _) = cases(PLACES, ShellDialect::Bash, Some(1));
    let (more, _) = cases(BASH_PLACES, ShellDialect::Bash, None);
    accepted.extend(more);
    assert!(accepted.len() > 3000, "{} accepted", accepted.len());
    run("bash", &accepted);
}

#[test]
fn values_from_outside_never_run_where_programs_evaluate_them() {
    let places: Vec<(&str, &str)> = [
        "eval {{ v }}",
        "eval \"{{ v }}\"",
        "sh -c {{ v }}",
        "sh -c \"echo {{ v }}\"",
        "bash -c 'echo {{ v }}'",
        "trap \"{{ v }}\" EXIT",
        "echo $(( {{ v }} ))",
        "read \"{{ v }}\" </dev/null",
        "test -v \"{{ v }}\"",
        "[ \"{{ v }}\" -eq 0 ]",
        "printf -v \"{{ v }}\" a",
        "echo a | xargs {{ v | option }}",
        "unset \"{{ v }}\"",
        "export \"{{ v }}\"",
        "awk \"{{ v }}\" </dev/null",
        "sed \"{{ v }}\" </dev/null",
        "let \"{{ v }}\"",
        "[[ \"{{ v }}\" -eq 0 ]]",
        "declare -i a=\"{{ v }}\"",
        "declare \"{{ v }}=1\"",
        "a=([\"{{ v }}\"]=1)",
        "((a={{ v }}))",
        "eval \"$(printf %s \"{{ v }}\")\"",
        "[[ -v \"{{ v }}\" ]]",
        "`{{ v }}`",
        "{{ v }}",
        "\"{{ v }}\"",
        "${x:-{{ v }}}",
        "$'{{ v }}'",
        "alias a=\"{{ v }}\"",
        "echo {{ v | raw }}",
    ]
    .map(|source| (source, ""))
    .to_vec();
    let (accepted, refused) = cases(&places, ShellDialect::Bash, None);
    assert!(refused > 3000, "{refused} refused");
    for case in accepted {
        assert!(matches!(case.value.as_str(), "0" | "42" | "true"), "{:?} accepted in {:?}", case.value, case.source);
    }
}

/// A word that prints a value, nested at random; `@` in the second is the value.
fn word() -> impl Strategy<Value = (String, String)> {
    let leaf = prop_oneof![
        Just(("\"{{ v }}\"".to_owned(), "@".to_owned())),
        Just(("'{{ v }}'".to_owned(), "@".to_owned())),
        Just(("x{{ v }}".to_owned(), "x@".to_owned())),
        Just(("\"a 'b' {{ v }}\"".to_owned(), "a 'b' @".to_owned())),
        Just(("\"$(cat <<E\nx'{{ v }}\"y\nE\n)\"".to_owned(), "x'@\"y".to_owned())),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(s, e)| (format!("\"$(printf '%s.' {s})\""), format!("{e}."))),
            inner
                .clone()
                .prop_map(|(s, e)| (format!("\"$(case a in b) :;; a) printf '%s.' {s};; esac)\""), format!("{e}."))),
            inner.clone().prop_map(|(s, e)| (format!("\"$(f() {{ printf '%s.' \"$1\"; }}; f {s})\""), format!("{e}."))),
            inner.clone().prop_map(|(s, e)| (
                format!("\"$(if true; then # it's {{{{ v }}}}\nprintf '%s.' {s}; fi)\""),
                format!("{e}.")
            )),
            inner.clone().prop_map(|(s, e)| (format!("\"$( (x={s}; printf '%s.' \"$x\") )\""), format!("{e}."))),
            inner.clone().prop_map(|(s, e)| (
                format!("\"$(cat <<'Q' >/dev/null\n`'\"$(\nQ\nprintf '%s.' {s})\""),
                format!("{e}.")
            )),
            inner.clone().prop_map(|(s, e)| (format!("\"${{x:+$(printf no)}}$(printf '%s.' {s})\""), format!("{e}."))),
            (inner.clone(), inner).prop_map(|((a, x), (b, y))| (format!("{a}{b}"), format!("{x}{y}"))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_arrive_in_places_that_are_nested_at_random(
        words in prop::collection::vec((word(), "[-a'\"$`\\\\(){};&|<>#*?~!= \n\té]{0,12}"), 1..12),
    ) {
        for (shell, dialect) in [("dash", ShellDialect::Posix), ("bash", ShellDialect::Bash)] {
            let cases: Vec<Case> = words
                .iter()
                .filter_map(|((source, expected), value)| {
                    let source = format!("printf '%s\\0' {source}");
                    let script = render(&source, dialect, value)?;
                    Some(Case { source, script, value: value.clone(), expected: format!("{}\0", expected.replace('@', value)).into_bytes() })
                })
                .collect();
            prop_assert_eq!(cases.len(), words.len());
            run(shell, &cases);
        }
    }
}
