//! Formatting never changes what a definition means, and happens once.

#![no_main]

use atta_core::definition::{Extent, Limits, format, load};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn without_spans(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.len() == 2 && map.contains_key("start") && map.contains_key("end") {
                map.clear();
            }
            map.retain(|key, _| key != "span");
            map.values_mut().for_each(without_spans);
        }
        Value::Array(items) => items.iter_mut().for_each(without_spans),
        _ => {}
    }
}

fn meaning(source: &[u8], limits: &Limits) -> Option<Value> {
    let mut value = serde_json::to_value(load("fuzz.yaml", source, limits).definition?).ok()?;
    without_spans(&mut value);
    Some(value)
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits { source_bytes: 16 << 10, tasks: 200, nodes: 20_000, ..Limits::default() };
    let Ok(formatted) = format("fuzz.yaml", data, &limits) else { return };
    let before = meaning(data, &limits);
    assert_eq!(before, meaning(formatted.text.as_bytes(), &limits), "became\n{}", formatted.text);
    let again = format("fuzz.yaml", formatted.text.as_bytes(), &limits).expect("what was formatted can be formatted");
    if formatted.extent != Extent::Nothing {
        assert_eq!(again.text, formatted.text);
    }
});
