//! The verdict: the last JSON object of the final message that matches the schema.

use std::collections::BTreeMap;

use atta_core::engine::AgentClass;
use atta_core::protocol::agent::VerdictOrder;
use serde_json::{Deserializer, Map, Value};

/// How much of a final message is looked at, from its end.
const LOOKED_AT: usize = 1 << 20;

/// How many objects are tried. Text that opens braces and never closes them must not cost more.
const MOST_TRIES: usize = 5_000;

/// A schema that is none.
#[derive(Debug, thiserror::Error)]
#[error("the verdict's schema cannot be used: {0}")]
pub(crate) struct SchemaError(String);

/// Finds verdicts.
pub(crate) struct Judge {
    validator: jsonschema::Validator,
}

/// What was found instead of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is no JSON object at all.
    NoObject,
    /// The last object does not match.
    Invalid(String),
}

impl Judge {
    pub(crate) fn new(schema: &Value) -> Result<Self, SchemaError> {
        let validator = jsonschema::validator_for(schema).map_err(|error| SchemaError(error.to_string()))?;
        Ok(Self { validator })
    }

    /// The last object in the text that matches, outer ones before those within them.
    pub(crate) fn find(&self, text: &str) -> Result<Value, Missing> {
        let text = &text[text.ceil_char_boundary(text.len().saturating_sub(LOOKED_AT))..];
        let objects = objects(text);
        for object in objects.iter().rev() {
            if let Some(found) = self.matching(object) {
                return Ok(found.clone());
            }
        }
        Err(objects.last().map_or(Missing::NoObject, |last| {
            let errors: Vec<String> = self
                .validator
                .iter_errors(last)
                .take(3)
                .map(|error| match error.instance_path().to_string().as_str() {
                    "" => error.to_string(),
                    path => format!("{path}: {error}"),
                })
                .collect();
            Missing::Invalid(errors.join("; "))
        }))
    }

    fn matching<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        if value.is_object() && self.validator.is_valid(value) {
            return Some(value);
        }
        match value {
            Value::Object(fields) => fields.values().rev().find_map(|value| self.matching(value)),
            Value::Array(items) => items.iter().rev().find_map(|value| self.matching(value)),
            _ => None,
        }
    }
}

/// The JSON objects of a text, wherever they stand, without those within others.
fn objects(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    // Of very many the last ones: a verdict stands at the end.
    let mut from = text.rmatch_indices('{').take(MOST_TRIES).last().map_or(0, |(at, _)| at);
    let mut tries = 0;
    while let Some(at) = text[from..].find('{') {
        let start = from + at;
        tries += 1;
        if tries > MOST_TRIES {
            break;
        }
        let mut stream = Deserializer::from_str(&text[start..]).into_iter::<Map<String, Value>>();
        if let Some(Ok(object)) = stream.next() {
            found.push(Value::Object(object));
            from = start + stream.byte_offset();
        } else {
            from = start + 1;
        }
    }
    found
}

/// The class that a verdict's `status` speaks of.
pub(crate) fn class_of(verdict: &Value) -> AgentClass {
    let status = verdict.get("status").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    match status.replace(['-', ' '], "_").as_str() {
        "error" => AgentClass::Error,
        "blocked" => AgentClass::Blocked,
        "tests_failing" => AgentClass::TestsFailing,
        _ => AgentClass::Done,
    }
}

/// What is added to a prompt so that there is a verdict.
pub(crate) fn request(order: &VerdictOrder) -> String {
    format!(
        "When you are finished, end your final message with one JSON object that matches this JSON Schema, and write nothing \
         after it:\n\n{}\n",
        pretty(&order.schema)
    )
}

/// What a session is asked that ended without one.
pub(crate) fn request_again(order: &VerdictOrder, missing: &Missing) -> String {
    let why = match missing {
        Missing::NoObject => "Your last message did not contain the JSON object that was asked for.".to_owned(),
        Missing::Invalid(errors) => {
            format!("The JSON object in your last message does not match its schema: {errors}.")
        }
    };
    format!(
        "{why} Do not work on anything else now. Answer with nothing but one JSON object that says how your work ended and \
         matches this JSON Schema:\n\n{}\n",
        pretty(&order.schema)
    )
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The verdict that more than half of all voters agree on in these fields; in everything when there are none.
pub(crate) fn majority<'a>(verdicts: &[&'a Value], fields: &[String], voters: u32) -> Option<&'a Value> {
    let mut ballots: BTreeMap<String, Vec<&'a Value>> = BTreeMap::new();
    for verdict in verdicts {
        let key = if fields.is_empty() {
            canonical(verdict).to_string()
        } else {
            // Whoever leaves out what is voted on has no vote.
            let chosen: Option<Vec<Value>> = fields.iter().map(|field| verdict.get(field).map(canonical)).collect();
            let Some(chosen) = chosen else { continue };
            Value::Array(chosen).to_string()
        };
        ballots.entry(key).or_default().push(verdict);
    }
    let most = ballots.into_values().max_by_key(Vec::len)?;
    (most.len() * 2 > usize::try_from(voters).unwrap_or(usize::MAX)).then(|| most[0])
}

/// The same value with its keys in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge() -> Judge {
        Judge::new(&json!({
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"enum": ["done", "blocked"]}, "notes": {"type": "object"}}
        }))
        .unwrap()
    }

    #[test]
    fn the_last_object_that_matches_is_the_verdict() {
        let done = json!({"status": "done"});
        for text in [
            "{\"status\":\"done\"}",
            "first {\"status\": \"blocked\"}, then\n```json\n{\n  \"status\": \"done\"\n}\n```\nthat is all",
            "{\"status\":\"done\"} and something else: {\"x\": 1} { not json",
            "use `{` and `}`: {\"result\": {\"status\": \"done\"}}",
            "[{\"status\":\"blocked\"}, {\"status\":\"done\"}]",
        ] {
            assert_eq!(judge().find(text), Ok(done.clone()), "{text}");
        }
        let nested = json!({"status": "done", "notes": {"a": {"b": "} \" {"}}});
        assert_eq!(judge().find(&format!("so: {nested}.")), Ok(nested));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(judge().find("all done"), Err(Missing::NoObject));
        let Err(Missing::Invalid(why)) = judge().find("{\"status\": \"maybe\"}") else { panic!("it matches nothing") };
        assert!(why.contains("/status") && why.contains("maybe"), "{why}");
    }

    #[test]
    fn text_that_opens_braces_and_never_closes_them_costs_little() {
        let text = "{\"a\":".repeat(200_000);
        assert_eq!(judge().find(&text), Err(Missing::NoObject));
    }

    #[test]
    fn more_than_half_of_all_voters_have_to_agree() {
        let (yes, no) = (json!({"ok": true, "why": "a"}), json!({"ok": false, "why": "b"}));
        let also = json!({"why": "c", "ok": true});
        let ok = ["ok".to_owned()];
        assert_eq!(majority(&[&no, &yes, &also], &ok, 3), Some(&yes));
        assert_eq!(majority(&[&no, &yes, &also], &[], 3), None);
        assert_eq!(majority(&[&yes], &ok, 3), None, "two voters had no verdict");
        let silent = json!({"why": "d"});
        assert_eq!(majority(&[&silent, &silent, &yes], &ok, 3), None, "two voters say nothing of it");
        assert_eq!(
            majority(&[&yes, &json!({"why": "a", "ok": true})], &[], 2),
            Some(&yes),
            "the order of keys is nothing"
        );
    }

    #[test]
    fn a_status_decides_the_class() {
        let class = |status: &str| class_of(&json!({"status": status}));
        assert_eq!(class("BLOCKED"), AgentClass::Blocked);
        assert_eq!(class("tests failing"), AgentClass::TestsFailing);
        assert_eq!(class("error"), AgentClass::Error);
        assert_eq!(class("done"), AgentClass::Done);
        assert_eq!(class_of(&json!({"answer": 1})), AgentClass::Done);
    }
}
