//! docs/operations.md quotes what the program says: every quotation stands in the source.

use std::fs;
use std::path::Path;

fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            // A text that goes on in the next line.
            let source = fs::read_to_string(&path).expect("it is a text");
            text.push_str(&source.lines().map(str::trim_start).collect::<Vec<_>>().join("\n").replace("\\\n", ""));
        }
    }
}

/// Keys, commands and paths are no words of the program.
fn is_said(quoted: &str) -> bool {
    quoted.contains(' ') && !["atta ", "chmod ", "waits: the server"].iter().any(|begin| quoted.starts_with(begin))
}

#[test]
fn every_message_of_the_page_is_one_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = String::new();
    for part in ["core", "server", "worker", "cli"] {
        sources(&root.join(part).join("src"), &mut all);
    }
    let page = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let mut quotations = 0;
    for line in page.lines().filter(|line| line.starts_with('|') || line.starts_with('`')) {
        for quoted in line.split('`').skip(1).step_by(2).filter(|quoted| is_said(quoted)) {
            quotations += 1;
            for part in quoted.split('…').map(|part| part.trim().trim_matches(|c| "()".contains(c))) {
                assert!(part.len() < 4 || all.contains(part), "docs/operations.md quotes {part:?}, which nothing says");
            }
        }
    }
    assert!(quotations > 30, "{quotations}");
}
