//! Reads a definition as every way in does.

#![no_main]

use atta_core::definition::{Limits, diagnostic_resources, load, render_diagnostics, sarif};
use atta_core::graph::{Diagram, Plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { source_bytes: 64 << 10, tasks: 200, nodes: 20_000, ..Limits::default() };
    let loaded = load("fuzz.yaml", data, &limits);
    assert!(loaded.diagnostics.len() <= limits.problems + 1);
    let shown = render_diagnostics("fuzz.yaml", data, &loaded.diagnostics, false);
    assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
    let _ = diagnostic_resources("fuzz.yaml", data, &loaded.diagnostics);
    let _ = sarif("fuzz.yaml", data, &loaded.diagnostics);
    if let Some(definition) = &loaded.definition {
        let (plan, _) = Plan::build(definition).expect("what was accepted has a plan");
        let diagram = Diagram::new(definition, &plan);
        let _ = (diagram.mermaid(), diagram.dot());
    }
});
