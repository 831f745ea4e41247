//! A hostile value arrives in a shell exactly where a harmless one does.
//!
//! The first bytes choose pieces of a script, the rest is the value. The script is rendered twice, with the value and
//! with a word, and both are run by real shells. `show` prints the vector of its arguments: how many there are, and each
//! with a NUL behind it. What the value makes of it must be what the word makes of it, byte for byte, with the value in
//! the word's place; the exit status must be the same; and nothing else may run or be written. Scripts are collected and
//! run many in one process.

#![no_main]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use atta_core::protocol::ant::RenderedScript;
use atta_core::template::{Renderer, ShellDialect, Value};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Pieces of a script; none of them can do anything but print.
const PIECES: &[&str] = &[
    "{{ v }}",
    "\"{{ v }}\"",
    "'{{ v }}'",
    " ",
    "\"",
    "'",
    "a",
    "\\ ",
    "\\\\",
    "\\\n",
    "#",
    " # it's {{ v }}\nshow ",
    "$(printf '%s.' ",
    ")",
    "\"$(printf '%s.' \"{{ v }}\")\"",
    "; show ",
    " && show ",
    "\nshow ",
    "x={{ v }}; show \"$x\" ",
    "x=\"{{ v }}\"; show \"$x\" ",
    "\ncat <<EOF\n{{ v }} \"{{ v }}\" '{{ v }}'\nEOF\nshow ",
    "\ncat <<-EOF\n\tx{{ v }}\n\tEOF\nshow ",
    "\ncat <<'EOF'\n$x\nEOF\nshow ",
    "$#",
    "${#y}",
    "$((1+2))",
    "\"${HOME:+a}{{ v }}\"",
    "(show \"{{ v }}\")",
    "{ show '{{ v }}'; }",
    "if true; then show {{ v | option }}; fi; show ",
    "for i in {{ v }} \"{{ v }}\"; do show \"$i\"; done; show ",
    "f() { show \"$@\"; }; f \"{{ v }}\" ",
    "{{ v }}{{ v }}",
    "{{ v | upper }}",
    "{% if v %}\"{{ v }}\"{% endif %}",
    "{% set c %}[{{ v }}]{% endset %}{{ c }}",
    "'a'{{ v }}\"b\"",
    "=",
    "-- {{ v }}",
    "{{ v | option }}",
    "`printf b`",
    "$'a\\'b'",
    "*",
    "~",
    "!",
    "[",
    "]",
    "{",
    "}",
    "|cat;show ",
    "é",
    "\nshow a ",
    " \"x y\" ",
    "case {{ v }} in {{ v }}) show same;; *) show other;; esac; show ",
    "a=({{ v }} \"{{ v }}\"); show \"${a[@]}\" ",
    "[[ {{ v }} == \"{{ v }}\" ]] && show ",
    "\ncat <<< {{ v }}\nshow ",
    "set -- {{ v | option }} '{{ v }}'; show \"$@\" ",
];

const SHELLS: [(&str, ShellDialect); 3] =
    [("sh", ShellDialect::Posix), ("dash", ShellDialect::Posix), ("bash", ShellDialect::Bash)];

/// Scripts that are run in one process. `QUOTING_BATCH=1` runs a single input at once.
fn batch() -> usize {
    std::env::var("QUOTING_BATCH").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// Stands for the value. Its letters are in no piece.
const WORD: &str = "QZKW";

struct Case {
    source: String,
    value: String,
    dialect: ShellDialect,
    harmless: RenderedScript,
    hostile: RenderedScript,
}

static CASES: Mutex<Vec<Case>> = Mutex::new(Vec::new());

fn render(source: &str, dialect: ShellDialect, value: &str) -> Option<RenderedScript> {
    let names: BTreeMap<String, Value> = [("v".to_owned(), Value::outside(&json!(value)))].into();
    Renderer::default().render_script(&[source], dialect, &names).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let count = usize::from(*count % 12) + 1;
    if rest.len() < count {
        return;
    }
    let (choices, value) = rest.split_at(count);
    let Ok(value) = std::str::from_utf8(value) else { return };
    // No shell's variable can hold NUL.
    if value.contains('\0') || value.is_empty() {
        return;
    }
    let mut source = String::from("show ");
    for choice in choices {
        source.push_str(PIECES[usize::from(*choice) % PIECES.len()]);
    }
    // Upper case must come out alike for `upper`.
    if source.contains("upper") && value.to_uppercase() != value {
        return;
    }
    // The author's own pattern, with the value as a part of it, may match files outside of the empty directory.
    if source.contains(['*', '[']) && value.contains(['/', '.']) {
        return;
    }
    source.push('\n');
    for dialect in [ShellDialect::Posix, ShellDialect::Bash] {
        if let (Some(harmless), Some(hostile)) = (render(&source, dialect, WORD), render(&source, dialect, value)) {
            let mut cases = CASES.lock().expect("one thread fuzzes");
            cases.push(Case { source: source.clone(), value: value.to_owned(), dialect, harmless, hostile });
            if cases.len() >= batch() {
                run(&std::mem::take(&mut *cases));
            }
        }
    }
});

fn run(cases: &[Case]) {
    for (shell, dialect) in SHELLS {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.dialect == dialect).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |what: &str| directory.path().join(what);
        for made in ["work", "bin"] {
            std::fs::create_dir(at(made)).expect("the directory is writable");
        }
        // The only program that can be called.
        std::os::unix::fs::symlink("/bin/cat", at("bin/cat")).expect("the directory is writable");
        let mut driver = String::from("show() { printf '%s\\0' \"$#\" \"$@\"; }\n");
        for (number, case) in cases.iter().enumerate() {
            for (kind, script) in [("word", &case.harmless), ("value", &case.hostile)] {
                let path = |what: &str| at(&format!("{number}.{kind}.{what}"));
                std::fs::write(path("bound"), &script.preamble).expect("the directory is writable");
                let text = format!(". '{}'; {}", path("bound").display(), script.text);
                std::fs::write(path("sh"), text).expect("the directory is writable");
                let (script, out, errors) = (path("sh"), path("out"), path("err"));
                let (script, out, errors) = (script.display(), out.display(), errors.display());
                let _ = writeln!(
                    driver,
                    "( . '{script}' ) >'{out}' 2>'{errors}'; printf '%s' \"$?\" >'{}'",
                    path("status").display()
                );
            }
        }
        std::fs::write(at("driver"), driver).expect("the directory is writable");
        let status = Command::new(format!("/bin/{shell}"))
            .arg(at("driver"))
            .current_dir(at("work"))
            .env_clear()
            .env("PATH", at("bin"))
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .status()
            .expect("the shell starts");
        assert!(status.success(), "{shell}: {status}");
        for (number, case) in cases.iter().enumerate() {
            let read =
                |kind: &str, what: &str| std::fs::read(at(&format!("{number}.{kind}.{what}"))).unwrap_or_default();
            let explain = || {
                format!(
                    "{shell}: {:?} in {:?}\n{}\n{}",
                    case.value, case.source, case.hostile.preamble, case.hostile.text
                )
            };
            let (mut expected, mut got) = (replaced(&read("word", "out"), &case.value), read("value", "out"));
            // A substitution drops the line ends behind what it prints, those of the value too.
            if case.source.contains("$(") && case.value.ends_with('\n') {
                expected.retain(|byte| *byte != b'\n');
                got.retain(|byte| *byte != b'\n');
            }
            assert_eq!(arguments(&got), arguments(&expected), "{}", explain());
            assert_eq!(read("value", "status"), read("word", "status"), "{}", explain());
            let missing = |kind: &str| String::from_utf8_lossy(&read(kind, "err")).matches("not found").count();
            if !case.value.contains("found") {
                assert_eq!(missing("value"), missing("word"), "something was called\n{}", explain());
            }
        }
        let left: Vec<_> = std::fs::read_dir(at("work")).expect("the directory is readable").flatten().collect();
        assert!(left.is_empty(), "{shell} executed a value: {left:?}");
    }
}

/// The same output with the value in the word's place.
fn replaced(output: &[u8], value: &str) -> Vec<u8> {
    let mut result = Vec::with_capacity(output.len());
    let mut rest = output;
    while let Some(at) = rest.windows(WORD.len()).position(|window| window == WORD.as_bytes()) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(value.as_bytes());
        rest = &rest[at + WORD.len()..];
    }
    result.extend_from_slice(rest);
    result
}

/// What `show` and `cat` printed, readable.
fn arguments(output: &[u8]) -> Vec<String> {
    output.split(|byte| *byte == 0).map(|argument| argument.escape_ascii().to_string()).collect()
}
