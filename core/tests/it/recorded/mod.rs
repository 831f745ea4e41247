//! Messages that an earlier build has said are understood, and nothing in them is lost.

use std::collections::BTreeMap;

use atta_core::protocol::ant::{Heartbeat, Hello, LogChunk, Orders, PollRequest, ReportBatch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// That everything in one document is in the other; there may be more.
fn within(said: &Value, understood: &Value, path: &str) {
    match (said, understood) {
        (Value::Object(said), Value::Object(understood)) => {
            for (key, value) in said {
                let path = format!("{path}.{key}");
                match understood.get(key) {
                    Some(found) => within(value, found, &path),
                    None => assert!(value.is_null(), "{path} was not understood"),
                }
            }
        }
        (Value::Array(said), Value::Array(understood)) => {
            assert_eq!(said.len(), understood.len(), "{path}");
            for (number, (value, found)) in said.iter().zip(understood).enumerate() {
                within(value, found, &format!("{path}[{number}]"));
            }
        }
        _ => assert_eq!(said, understood, "{path}"),
    }
}

fn understand<T: Serialize + DeserializeOwned>(kind: &str, said: &Value) {
    let understood: T =
        serde_json::from_value(said.clone()).unwrap_or_else(|error| panic!("{kind}: {error}: {said:#}"));
    within(said, &serde_json::to_value(understood).unwrap(), kind);
}

#[test]
fn messages_of_an_earlier_build_are_understood() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in include_str!("ant-1.jsonl").lines() {
        let said: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        for (kind, said) in said {
            match kind.as_str() {
                "poll" => understand::<PollRequest>(&kind, &said),
                "report" => understand::<ReportBatch>(&kind, &said),
                "heartbeat" => understand::<Heartbeat>(&kind, &said),
                "orders" => understand::<Orders>(&kind, &said),
                "hello-answer" => understand::<Hello>(&kind, &said),
                "log" => {
                    let body = hex::decode(said.as_str().unwrap()).unwrap();
                    let (length, rest) = body.split_first_chunk::<4>().unwrap();
                    let (header, bytes) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
                    let chunk: LogChunk = serde_json::from_slice(header).unwrap();
                    assert_eq!(chunk.segments.iter().map(|s| s.len as usize).sum::<usize>(), bytes.len());
                }
                other => panic!("{other}"),
            }
            *seen.entry(kind).or_default() += 1;
        }
    }
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["heartbeat", "hello-answer", "log", "orders", "poll", "report"]);
}
