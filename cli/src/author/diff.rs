//! What changes between two texts, line by line.

use std::fmt::Write as _;

use owo_colors::OwoColorize;

/// Equal lines that are shown around a change.
const CONTEXT: usize = 3;

/// Pairs of lines that are compared; beyond that the middle is one change.
const MOST_COMPARED: usize = 16_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Same,
    Removed,
    Added,
}

/// In the unified form; lines of other files are shown without control characters.
pub(super) fn diff(name: &str, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
    let changes = changes(&old, &new);
    let mut text = format!("--- {name}\n+++ {name}\n");
    let mut at = 0;
    let (mut old_line, mut new_line) = (1, 1);
    while at < changes.len() {
        let Some(first) = (at..changes.len()).find(|index| changes[*index].0 != Change::Same) else { break };
        let start = first.saturating_sub(CONTEXT).max(at);
        old_line += start - at;
        new_line += start - at;
        let mut end = first;
        let mut index = first;
        while index < changes.len() && index <= end + 2 * CONTEXT {
            if changes[index].0 != Change::Same {
                end = index;
            }
            index += 1;
        }
        let end = (end + CONTEXT + 1).min(changes.len());
        let hunk = &changes[start..end];
        let olds = hunk.iter().filter(|(change, _)| *change != Change::Added).count();
        let news = hunk.iter().filter(|(change, _)| *change != Change::Removed).count();
        let _ = writeln!(text, "{}", format!("@@ -{old_line},{olds} +{new_line},{news} @@").cyan());
        for (change, line) in hunk {
            let line = crate::output::harmless(line);
            let _ = match change {
                Change::Same => writeln!(text, " {line}"),
                Change::Removed => writeln!(text, "{}", format!("-{line}").red()),
                Change::Added => writeln!(text, "{}", format!("+{line}").green()),
            };
        }
        old_line += olds;
        new_line += news;
        at = end;
    }
    text
}

fn changes<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Change, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut all: Vec<(Change, &str)> = old[..head].iter().map(|line| (Change::Same, *line)).collect();
    all.extend(middle(old_middle, new_middle));
    all.extend(old_rest[old_rest.len() - tail..].iter().map(|line| (Change::Same, *line)));
    all
}

/// By the longest common subsequence.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Change, &'t str)> {
    if old.len().saturating_mul(new.len()) > MOST_COMPARED {
        let removed = old.iter().map(|line| (Change::Removed, *line));
        return removed.chain(new.iter().map(|line| (Change::Added, *line))).collect();
    }
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            all.push((Change::Same, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            all.push((Change::Removed, old[i]));
            i += 1;
        } else {
            all.push((Change::Added, new[j]));
            j += 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_the_lines_around_them() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let after = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\n";
        let plain = anstream::adapter::strip_str(&diff("x", before, after)).to_string();
        assert_eq!(plain, "--- x\n+++ x\n@@ -2,10 +2,11 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n i\n j\n+k\n \n");
    }
}
