//! Links between pages, and from pages to files and tests.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::page::pages;
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
