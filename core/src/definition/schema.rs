//! JSON Schemas of outputs: 2020-12, inline, and bounded so that checking a value always ends soon.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::scalar::shortened;

/// Bytes of a schema, written as JSON.
const LONGEST: usize = 64 << 10;
/// Steps that one place in a value may cost.
const MOST_STEPS: u64 = 100_000;
/// Bytes that a compiled pattern may take.
const PATTERN: usize = 1 << 20;
/// Keywords that read other documents, or change what the others mean.
const REFUSED: [&str; 8] =
    ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "id"];
/// Keywords whose value is data and no schema.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "required"];
/// Keywords that apply a schema to the same place of the value.
const SAME_PLACE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/// Whether the schema is valid and can be used. An error is a sentence.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err("a schema is a mapping".to_owned());
    }
    let length = schema.to_string().len();
    if length > LONGEST {
        return Err(format!("the schema has {length} bytes, and it may have {LONGEST}"));
    }
    if let Some(draft) = schema.get("$schema")
        && draft.as_str().map(|uri| uri.trim_end_matches('#')) != Some("https://json-schema.org/draft/2020-12/schema")
    {
        return Err("`$schema` can only be https://json-schema.org/draft/2020-12/schema".to_owned());
    }
    refuse_keywords(schema, true)?;
    let mut costs = Costs { root: schema, known: HashMap::new(), open: Vec::new() };
    if costs.of(schema, true)? > MOST_STEPS {
        return Err("the schema refers to its parts so often that checking a value would take too long".to_owned());
    }
    compile(schema).map(|_| ())
}

/// Whether a value is as its schema says. An error tells where in the value, and what was expected.
pub fn check_against_schema(schema: &Value, value: &Value) -> Result<(), String> {
    let validator = compile(schema)?;
    validator.validate(value).map_err(|error| {
        let place = error.instance_path().as_str();
        let mut text: String = error.to_string().chars().take(300).collect();
        if text.len() < error.to_string().len() {
            text.push('…');
        }
        if place.is_empty() {
            text
        } else {
            format!("at `{}`: {text}", place.trim_start_matches('/').replace('/', "."))
        }
    })
}

fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN))
        .build(schema)
        .map_err(|error| {
            let place = error.instance_path().as_str();
            let text: String = error.to_string().chars().take(300).collect();
            if place.is_empty() {
                text
            } else {
                format!("at `{}`: {text}", place.trim_start_matches('/').replace('/', "."))
            }
        })
}

fn refuse_keywords(schema: &Value, keywords: bool) -> Result<(), String> {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                if keywords && REFUSED.contains(&key.as_str()) && !value.is_object() {
                    return Err(format!("`{key}` cannot be used here; name parts by `$ref: \"#/$defs/…\"`"));
                }
                if keywords && key == "$ref" {
                    let target = value.as_str().unwrap_or_default();
                    if target != "#" && !target.starts_with("#/") {
                        return Err(format!(
                            "`$ref: \"{}\"` leads out of this schema: only its own parts can be named, such as \
                             \"#/$defs/part\"",
                            shortened(target)
                        ));
                    }
                }
                if !(keywords && DATA.contains(&key.as_str())) {
                    // Below these, keys are names that the schema's author chose.
                    let names = keywords
                        && matches!(
                            key.as_str(),
                            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
                        );
                    refuse_keywords(value, !names)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| refuse_keywords(item, true)),
        _ => Ok(()),
    }
}

/// How many steps schemas cost at one place of a value, references followed.
struct Costs<'s> {
    root: &'s Value,
    known: HashMap<(*const Value, bool), u64>,
    open: Vec<(*const Value, bool)>,
}

impl<'s> Costs<'s> {
    /// `here`: everything since the last step into the value.
    fn of(&mut self, schema: &'s Value, here: bool) -> Result<u64, String> {
        let Value::Object(map) = schema else { return Ok(1) };
        let id = (std::ptr::from_ref(schema), here);
        if let Some(cost) = self.known.get(&id) {
            return Ok(*cost);
        }
        if self.open.iter().any(|(open, _)| *open == id.0) {
            return if here && self.since_step(id.0) {
                Err("the schema refers to itself without looking into the value".to_owned())
            } else {
                Ok(1)
            };
        }
        self.open.push(id);
        let mut cost = 1_u64;
        for (key, value) in map {
            let part = match key.as_str() {
                "$ref" => match self.target(value.as_str().unwrap_or_default()) {
                    Some(target) => self.of(target, true)?,
                    None => 1,
                },
                "$defs" | "definitions" => 0,
                key if DATA.contains(&key) => 1,
                key if SAME_PLACE.contains(&key) => self.all(value, true)?,
                _ => self.all(value, false)?,
            };
            cost = cost.saturating_add(part);
        }
        self.open.pop();
        self.known.insert(id, cost);
        Ok(cost)
    }

    fn all(&mut self, value: &'s Value, here: bool) -> Result<u64, String> {
        match value {
            Value::Array(items) => {
                items.iter().try_fold(1_u64, |sum, item| Ok(sum.saturating_add(self.of(item, here)?)))
            }
            Value::Object(_) => self.of(value, here),
            _ => Ok(1),
        }
    }

    /// Whether every open schema from this one on is at the same place of the value.
    fn since_step(&self, id: *const Value) -> bool {
        let from = self.open.iter().position(|(open, _)| *open == id).unwrap_or(0);
        self.open.iter().skip(from + 1).all(|(_, here)| *here)
    }

    fn target(&self, reference: &str) -> Option<&'s Value> {
        let pointer = reference.strip_prefix('#')?;
        let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
        self.root.pointer(&decoded)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_told_where_it_differs() {
        let schema = json!({"type": "object", "required": ["tests"], "properties": {"tests": {"type": "array", "items":
            {"type": "object", "properties": {"name": {"type": "string"}}}}}});
        check_schema(&schema).unwrap();
        assert_eq!(check_against_schema(&schema, &json!({"tests": [{"name": "a"}]})), Ok(()));
        let message = check_against_schema(&schema, &json!({"tests": [{"name": "a"}, {"name": 5}]})).unwrap_err();
        assert_eq!(message, "at `tests.1.name`: 5 is not of type \"string\"");
        let message = check_against_schema(&schema, &json!({})).unwrap_err();
        assert_eq!(message, "\"tests\" is a required property");
    }

    #[test]
    fn schemas_that_read_others_or_never_end_are_refused() {
        let message = |schema: Value| check_schema(&schema).unwrap_err();
        assert!(message(json!({"$ref": "http://example.com/x"})).contains("leads out of this schema"));
        assert!(message(json!({"$ref": "other.json"})).contains("leads out of this schema"));
        assert!(message(json!({"$id": "http://example.com/"})).starts_with("`$id` cannot be used"));
        assert!(
            message(json!({"$schema": "http://json-schema.org/draft-07/schema#"})).starts_with("`$schema` can only")
        );
        assert!(message(json!({"type": "text"})).contains("text"));
        assert!(message(json!({"pattern": "("})).contains('('));
        assert!(message(json!(5)).contains("a schema is a mapping"));
        assert!(message(json!({"$ref": "#"})).contains("refers to itself"));
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}});
        assert!(message(circle).contains("refers to itself"));
        let mut defs = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/n{}", level + 1)});
            defs.insert(format!("n{level}"), json!({"allOf": [next.clone(), next]}));
        }
        defs.insert("n40".to_owned(), json!({"type": "string"}));
        assert!(message(json!({"$ref": "#/$defs/n0", "$defs": defs})).contains("too long"));
        assert!(message(json!({"description": "x".repeat(70_000)})).contains("bytes"));
    }

    #[test]
    fn schemas_may_be_recursive_through_the_value() {
        let tree = json!({"type": "object", "properties": {"id": {"type": "string"}, "$ref": {}, "children":
            {"type": "array", "items": {"$ref": "#"}}}});
        check_schema(&tree).unwrap();
        assert!(check_against_schema(&tree, &json!({"children": [{"children": [{"children": 5}]}]})).is_err());
    }
}
