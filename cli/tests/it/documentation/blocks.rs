//! Every definition on every page loads, or is refused as it says.

use super::page::{Block, pages};
use crate::scratch::Scratch;

/// What has to be around a fragment to make it a definition.
fn wrapped(block: &Block, kind: &str) -> String {
    let indented = |by: &str| block.text.lines().fold(String::new(), |text, line| text + by + line + "\n");
    let mut definition = String::from("job_type: fragment\n");
    if let Some(params) = block.mark("params") {
        definition += "params:\n";
        for name in params.split(',') {
            definition.extend(["  ", name, ": {required: true}\n"]);
        }
    }
    match kind {
        "job" => definition + &block.text + "tasks:\n  - task_type: fragment\n    script: [echo fragment]\n",
        "tasks" => definition + "tasks:\n" + &indented("  "),
        "task" => definition + "tasks:\n  - task_type: fragment\n" + &indented("    "),
        other => panic!("{}: there is no fragment={other}", block.place),
    }
}

#[test]
fn every_definition_on_every_page_loads_or_is_refused_as_it_says() {
    let scratch = Scratch::new();
    let mut problems = Vec::new();
    let mut seen = 0;
    for block in pages().iter().flat_map(super::page::Page::blocks) {
        if block.language != "yaml" {
            continue;
        }
        seen += 1;
        for mark in block.marks() {
            assert!(["file", "fragment", "params", "other"].contains(&mark), "{}: unknown mark {mark}", block.place);
        }
        let text = block.mark("fragment").map_or_else(|| block.text.clone(), |kind| wrapped(&block, kind));
        let file = scratch.write("block.yaml", &text);
        let done = scratch.atta(&["validate", &file]);
        let said = format!("{}{}", done.stdout, done.stderr);
        let fine = if block.mark("other").is_some() {
            !said.contains("E-YAML")
        } else if let Some(code) = block.text.strip_prefix("# refused: ").and_then(|rest| rest.lines().next()) {
            done.code == 2 && said.contains(code)
        } else {
            done.code == 0
        };
        if !fine {
            problems.push(format!("{}\n{said}\nof\n{text}", block.place));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(seen > 30, "only {seen} blocks were found");
}
