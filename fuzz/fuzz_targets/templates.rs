//! Renders a template with a hostile value: `TEMPLATE NUL VALUE`.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use atta_core::template::{Limits, NoFunctions, Renderer, ShellDialect, Value, check_script};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (source, value) = text.split_once('\0').unwrap_or((text, "$(x)`\"'"));
    let names: BTreeMap<String, Value> = [
        ("X".to_owned(), Value::outside(&json!(value))),
        ("N".to_owned(), Value::outside(&json!(value.len()))),
        ("L".to_owned(), Value::outside(&json!([value, {"a": value}]))),
        ("T".to_owned(), Value::trusted(&json!(value))),
    ]
    .into();
    let limits = Limits { fuel: 5_000, recursion: 50, output: 64 << 10, source: 64 << 10, memory: 1 << 20 };
    let most = limits.output;
    let renderer = Renderer::new(limits, Arc::new(NoFunctions));
    if let Ok(text) = renderer.render_text(source, &names) {
        assert!(text.len() <= most);
    }
    let _ = renderer.render_value(source, &names);
    let _ = renderer.render_interpreter_source(&[source], &names);
    for dialect in [ShellDialect::Posix, ShellDialect::Bash] {
        let _ = check_script(&[source], dialect);
        if let Ok(script) = renderer.render_script(&[source], dialect, &names) {
            // Line numbers stay those of the definition; what is bound is never part of the text.
            assert!(script.text.len() <= most);
        }
    }
});
