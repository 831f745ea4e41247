//! Links between pages, and from pages to files and tests.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::page::{Page, pages};
use crate::live_server::repository;

/// The targets of the Markdown links of a line, with their titles.
fn links(line: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("](") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find(')') else { break };
        let target = &rest[..end];
        found.push(match target.split_once(" \"") {
            Some((target, title)) => (target.to_owned(), Some(title.trim_end_matches('"').to_owned())),
            None => (target.to_owned(), None),
        });
        rest = &rest[end..];
    }
    found
}

/// Without what stands in backquotes: a link in code is none.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchor of a heading, as Markdown viewers make it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
            _ => None,
        })
        .collect()
}

/// A path without `..`, from the root of the repository.
fn resolved(page: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().unwrap_or(Path::new("")).join(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {target} leads out of the repository"),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let anchors: HashMap<PathBuf, Vec<String>> = pages
        .iter()
        .map(|page| {
            let headings = page.prose().filter(|(_, line)| line.starts_with('#'));
            (PathBuf::from(&page.name), headings.map(|(_, line)| anchor(line)).collect())
        })
        .collect();
    let mut broken = Vec::new();
    for page in &pages {
        for (number, line) in page.prose() {
            let line = if line.contains("](") { without_code(line) } else { continue };
            for (target, _) in links(&line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
                let path = if file.is_empty() { PathBuf::from(&page.name) } else { resolved(&page.name, file) };
                let there = repository().join(&path).exists()
                    && (heading.is_empty()
                        || anchors.get(&path).is_some_and(|known| known.iter().any(|known| known == heading)));
                if !there {
                    broken.push(format!("{}:{number}: {target}", page.name));
                }
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The comparison's columns: what is compared, Atta, and five other systems.
const COLUMNS: usize = 7;

/// `[yes](../cli/tests/it/x.rs "name_of_the_test")`: the file and the test have to exist.
fn what_is_wrong_with_our_cell(page: &Page, cell: &str) -> Option<String> {
    if !cell.starts_with("[yes]") {
        return (!cell.starts_with("no") && !cell.starts_with("partly"))
            .then(|| "is neither yes, partly nor no".into());
    }
    what_is_wrong_with_a_named_test(page, cell)
}

fn what_is_wrong_with_a_named_test(page: &Page, cell: &str) -> Option<String> {
    let Some((target, Some(title))) = links(cell).into_iter().next() else { return Some("names no test".into()) };
    let file = repository().join(resolved(&page.name, &target));
    let Ok(source) = std::fs::read_to_string(&file) else {
        return Some(format!("names {target}, which does not exist"));
    };
    let Some(at) = source.find(&format!("fn {title}(")) else {
        return Some(format!("names {title}, which is not in {target}"));
    };
    // The attribute stands on one of the lines before, or the test is in a list that a macro makes tests of.
    let attribute = |line: &str| line.contains("test]") || line.contains("test(");
    let listed = || source.lines().any(|line| line.trim().strip_suffix(',') == Some(title.as_str()));
    let tested = source[..at].lines().rev().take(4).any(attribute) || listed();
    (!tested).then(|| format!("names {title}, which is no test"))
}

#[test]
fn every_yes_of_the_comparison_leads_to_a_test() {
    let page = Page::read("docs/comparison.md");
    let known: Vec<&str> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: http"))
        .map(|(name, _)| name)
        .collect();
    let mut problems = Vec::new();
    let mut rows = 0;
    for (number, line) in page.prose() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = inner.split(" | ").collect();
        if cells.get(1) == Some(&"Atta") {
            continue;
        }
        rows += 1;
        if cells.len() != COLUMNS {
            problems.push(format!("line {number} has {} cells", cells.len()));
            continue;
        }
        if let Some(problem) = what_is_wrong_with_our_cell(&page, cells[1]) {
            problems.push(format!("line {number}: the cell of Atta {problem}"));
        }
        for cell in &cells[2..] {
            let plain = cell.trim_start_matches('[');
            if !["yes", "partly", "no", "–"].iter().any(|word| plain.starts_with(word)) {
                problems.push(format!("line {number}: {cell}"));
            }
            for reference in cell.split("][").skip(1) {
                let name = reference.split(']').next().unwrap_or_default();
                if !known.contains(&name) {
                    problems.push(format!("line {number}: [{name}] leads nowhere"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(rows >= 35, "only {rows} rows");
}

#[test]
fn every_invariant_names_a_test_that_watches_it() {
    let page = Page::read("docs/invariants.md");
    let rows = page.prose().filter_map(|(number, line)| Some((number, line.strip_prefix("| ")?.strip_suffix(" |")?)));
    let (mut problems, mut watched) = (Vec::new(), 0);
    for (number, row) in rows {
        let Some((_, watcher)) = row.split_once(" | ").filter(|(_, watcher)| watcher.starts_with('[')) else {
            continue;
        };
        watched += 1;
        if let Some(problem) = what_is_wrong_with_a_named_test(&page, watcher) {
            problems.push(format!("line {number}: it {problem}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(watched >= 15, "only {watched} invariants");
}
