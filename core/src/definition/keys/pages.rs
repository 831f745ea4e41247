//! The table of keys as pages of the reference.

use std::fmt::Write as _;

use super::word::RESULTS;
use crate::engine::AgentClass;

use super::{JOB, Key, TASK, Vocabulary, WORDS, reached_from};

/// A generated page: the name of its file under `docs/reference/`, and its text.
pub struct ReferencePage {
    /// `job-keys.md` and so on.
    pub file: &'static str,
    /// Markdown.
    pub text: String,
}

const GENERATED: &str =
    "<!-- Generated from core/src/definition/keys by the tests: run them with UPDATE_GENERATED=1, do not edit. -->";

/// The pages of the reference that are made from the table of keys.
pub fn reference_pages() -> Vec<ReferencePage> {
    let of_tasks = reached_from(&TASK);
    let of_jobs: Vec<&Vocabulary> = reached_from(&JOB)
        .into_iter()
        .filter(|vocabulary| of_tasks.iter().all(|other| other.what != vocabulary.what))
        .collect();
    let page_of = |vocabulary: &Vocabulary| {
        if of_jobs.iter().any(|other| other.what == vocabulary.what) { "job-keys.md" } else { "task-keys.md" }
    };
    let page = |title: &str, lead: &str, vocabularies: &[&Vocabulary]| {
        let mut text = format!("# {title}\n\n{GENERATED}\n\n{lead}\n");
        for vocabulary in vocabularies {
            section(&mut text, vocabulary, &page_of);
        }
        text
    };
    vec![
        ReferencePage {
            file: "job-keys.md",
            text: page(
                "Keys of a job",
                "What stands at the top level of a definition, and in the mappings there. The tasks have \
                 [a page of their own](task-keys.md); how all of it works together is told in [the language](../language.md).",
                &of_jobs,
            ),
        },
        ReferencePage {
            file: "task-keys.md",
            text: page(
                "Keys of a task",
                "What each entry of `tasks`, and the job's `defaults`, can say. See also [the keys of a job](job-keys.md) \
                 and [the words and results of routes](routes.md).",
                &of_tasks,
            ),
        },
        ReferencePage { file: "routes.md", text: routes() },
    ]
}

fn section(text: &mut String, vocabulary: &Vocabulary, page_of: &dyn Fn(&Vocabulary) -> &'static str) {
    let _ = writeln!(text, "\n## Keys of {}", vocabulary.what);
    for key in vocabulary.keys {
        let _ = writeln!(text, "\n### `{}`\n\n{}\n", key.name, key.doc);
        facts(text, key, page_of);
    }
    if !vocabulary.later.is_empty() {
        let names: Vec<String> = vocabulary.later.iter().map(|name| format!("`{name}`")).collect();
        let _ =
            writeln!(text, "\nRefused by this version as [`E-UNSUPPORTED`](../diagnostics.md): {}.", names.join(", "));
    }
}

fn facts(text: &mut String, key: &Key, page_of: &dyn Fn(&Vocabulary) -> &'static str) {
    let _ = writeln!(text, "* takes: {}", key.shape.in_words());
    for inner in key.shape.mappings() {
        // As viewers of Markdown make it from the heading: neither dots nor apostrophes.
        let anchor = inner.what.replace(' ', "-").replace(['.', '\''], "");
        let _ = writeln!(text, "* [keys of {}]({}#keys-of-{anchor})", inner.what, page_of(inner));
    }
    if key.required {
        let _ = writeln!(text, "* required");
    }
    if let Some(default) = key.default {
        let _ = writeln!(text, "* default: {default}");
    }
    let _ = writeln!(text, "* example: {}", link(key.example));
}

fn link(example: &str) -> String {
    format!("[{example}.yaml](../../workflows/examples/{example}.yaml)")
}

fn routes() -> String {
    let mut text = format!(
        "# Words and results of routes\n\n{GENERATED}\n\nA route says on which result of a task the job goes where: \
         [`on_exit_code`](task-keys.md#on_exit_code), `on_completed`, `on_failed`.\n\n## Where a route leads\n\nTo a \
         task, to a list of tasks at once, or to one of these words:\n\n| Word | Meaning | Example |\n|---|---|---|\n"
    );
    for word in WORDS {
        let name = if word.name.ends_with('_') { format!("{}<NAME>", word.name) } else { word.name.to_owned() };
        let _ = writeln!(text, "| `{name}` | {} | {} |", word.doc, link(word.example));
    }
    text.push_str(
        "\n## What a route matches\n\nAn exit code (`3`), a range (`\"64-78\"`), `COMPLETED`, `FAILED`, `\"*\"`, or the \
         name of a result:\n\n| Result | Meaning |\n|---|---|\n",
    );
    for (name, meaning) in RESULTS {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text.push_str(
        "\nAn AGENT task ends in one of these classes, which routes name by word or by number. `DONE` is a success:\n\n\
         | Class | Number | Meaning |\n|---|---|---|\n",
    );
    for class in AgentClass::ALL {
        let sentence = class.sentence();
        let mut letters = sentence.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {} | {first}{}. |", class.as_str(), class.code(), letters.as_str());
    }
    text
}
