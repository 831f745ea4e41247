//! The codes in the source and those in docs/diagnostics.md are the same.

use std::collections::BTreeSet;
use std::path::Path;

/// Every code that stands between two marks of a kind in a text.
fn codes(text: &str, mark: char) -> BTreeSet<String> {
    text.split(mark)
        .filter(|word| {
            (word.starts_with("E-") || word.starts_with("W-"))
                && word.len() > 3
                && !word.ends_with('-')
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        })
        .map(str::to_owned)
        .collect()
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(codes(&std::fs::read_to_string(&path).unwrap(), '"'));
        }
    }
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    collect(&crate_directory.join("src"), &mut used);
    let page = std::fs::read_to_string(crate_directory.join("../docs/diagnostics.md")).unwrap();
    let rows: String = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| format!("{}\n", &line[..line[3..].find('`').unwrap() + 4]))
        .collect();
    let documented = codes(&rows, '`');
    assert_eq!(used.difference(&documented).collect::<Vec<_>>(), [""; 0], "in the source, not on the page");
    assert_eq!(documented.difference(&used).collect::<Vec<_>>(), [""; 0], "on the page, not in the source");
}
