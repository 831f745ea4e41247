//! A hostile value arrives in a shell exactly where a harmless one does.
//!
//! The first bytes choose pieces of a script, the rest is the value. The script is rendered twice, with the value and
//! with a word, and both are run: what the first prints must be what the second prints, with the value in place of the
//! word. Scripts are collected and run many in one process, in a directory that must stay empty.

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
    "{{ v }}", "\"{{ v }}\"", "'{{ v }}'", " ", "\"", "'", "a", "\\ ", "\\\\", "\\\n", "#", " # it's {{ v }}\nprintf '<%s>' ", "$(printf '%s.' ",
    ")", "\"$(printf '%s.' \"{{ v }}\")\"", "; printf '<%s>' ", " && printf '<%s>' ", "\nprintf '<%s>' ", "x={{ v }}; printf '<%s>' \"$x\" ",
    "x=\"{{ v }}\"; printf '<%s>' \"$x\" ", "\ncat <<EOF\n{{ v }} \"{{ v }}\" '{{ v }}'\nEOF\nprintf '<%s>' ", "\ncat <<-EOF\n\tx{{ v }}\n\tEOF\nprintf '<%s>' ",
    "\ncat <<'EOF'\n$x\nEOF\nprintf '<%s>' ", "$#", "${#y}", "$((1+2))", "\"${HOME:+a}{{ v }}\"", "(printf '<%s>' \"{{ v }}\")", "{ printf '<%s>' '{{ v }}'; }",
    "if true; then printf '<%s>' {{ v | option }}; fi; printf '<%s>' ", "for i in {{ v }} \"{{ v }}\"; do printf '<%s>' \"$i\"; done; printf '<%s>' ",
    "f() { printf '<%s>' \"$@\"; }; f \"{{ v }}\" ", "{{ v }}{{ v }}", "{{ v | upper }}", "{% if v %}\"{{ v }}\"{% endif %}", "{% set c %}[{{ v }}]{% endset %}{{ c }}",
    "'a'{{ v }}\"b\"", "=", "-- {{ v }}", "{{ v | option }}", "`printf b`", "$'a\\'b'", "*", "~", "!", "[", "]", "{", "}", "|cat;printf '<%s>' ", "é",
];

const SHELLS: [(&str, ShellDialect); 3] =
    [("sh", ShellDialect::Posix), ("dash", ShellDialect::Posix), ("bash", ShellDialect::Bash)];

/// Scripts that are run in one process.
const BATCH: usize = 100;

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
    // Neither can a shell's variable hold NUL; upper case must come out alike for `upper`.
    if value.contains('\0') || value.is_empty() {
        return;
    }
    let mut source = String::from("printf '<%s>' ");
    for choice in choices {
        source.push_str(PIECES[usize::from(*choice) % PIECES.len()]);
    }
    let upper = source.contains("upper");
    if upper && value.to_uppercase() != value {
        return;
    }
    source.push('\n');
    for dialect in [ShellDialect::Posix, ShellDialect::Bash] {
        if let (Some(harmless), Some(hostile)) = (render(&source, dialect, WORD), render(&source, dialect, value)) {
            let mut cases = CASES.lock().expect("one thread fuzzes");
            cases.push(Case { source: source.clone(), value: value.to_owned(), dialect, harmless, hostile });
            if cases.len() >= BATCH {
                run(&std::mem::take(&mut *cases));
            }
        }
    }
});

fn run(cases: &[Case]) {
    for (shell, dialect) in SHELLS {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.dialect == dialect).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let work = directory.path().join("work");
        std::fs::create_dir(&work).expect("the directory is writable");
        let mut driver = String::new();
        for (number, case) in cases.iter().enumerate() {
            for (kind, script) in [("word", &case.harmless), ("value", &case.hostile)] {
                let path = |what: &str| directory.path().join(format!("{number}.{kind}.{what}"));
                std::fs::write(path("bound"), &script.preamble).expect("the directory is writable");
                let text = format!(". '{}'; {}", path("bound").display(), script.text);
                std::fs::write(path("sh"), text).expect("the directory is writable");
                let _ = writeln!(driver, "( . '{}' ) >'{}' 2>/dev/null", path("sh").display(), path("out").display());
            }
        }
        let driver_path = directory.path().join("driver");
        std::fs::write(&driver_path, driver).expect("the directory is writable");
        let status = Command::new(shell)
            .arg(&driver_path)
            .current_dir(&work)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .status()
            .expect("the shell starts");
        assert!(status.code().is_some(), "{shell} was killed");
        for (number, case) in cases.iter().enumerate() {
            let read = |kind: &str| {
                let out = directory.path().join(format!("{number}.{kind}.out"));
                String::from_utf8_lossy(&std::fs::read(out).unwrap_or_default()).into_owned()
            };
            let expected = read("word").replace(WORD, &case.value);
            // Command substitution drops line ends, wherever the value ends with some.
            let (expected, got) = (expected.replace('\n', ""), read("value").replace('\n', ""));
            assert_eq!(
                got, expected,
                "{shell}: {:?} in {:?}\n{}\n{}",
                case.value, case.source, case.hostile.preamble, case.hostile.text
            );
        }
        let left: Vec<_> = std::fs::read_dir(&work).expect("the directory is readable").flatten().collect();
        assert!(left.is_empty(), "{shell} executed a value: {left:?}");
    }
}
