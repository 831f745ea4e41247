//! The table of keys as a JSON Schema, for editors and for programs that write definitions.
//!
//! It says what one value can say alone; what names, graphs and templates mean together only the loader knows. Whatever
//! the loader accepts is valid by the schema.

use serde_json::{Map, Value, json};

use super::route::{RESULT, WORD_OR_TASK};
use super::{ANY_NAME, JOB, Key, Shape, TASK, Vocabulary, WORDS, vocabularies};
use crate::definition::task::ALTERNATIVES;
use crate::engine::{AgentClass, ResultName};

/// The JSON Schema (draft 2020-12) of a job definition.
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:atta:job-definition",
        "title": "Atta job definition",
    });
    let mut definitions = Map::new();
    for vocabulary in vocabularies() {
        if vocabulary.what != JOB.what {
            definitions.insert(vocabulary.slug(), mapping(vocabulary, &[]));
        }
    }
    let mut defaults = mapping(&TASK, &["task_type"]);
    if let Some(fields) = defaults.as_object_mut() {
        fields.remove("required");
    }
    definitions.insert("task-defaults".to_owned(), defaults);
    if let (Some(schema), Value::Object(job)) = (schema.as_object_mut(), mapping(&JOB, &[])) {
        schema.extend(job);
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn mapping(vocabulary: &Vocabulary, without: &[&str]) -> Value {
    let keys = || vocabulary.keys.iter().filter(|key| !without.contains(&key.name));
    let properties: Map<String, Value> = keys().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    });
    let exclusive: Vec<Value> = ALTERNATIVES
        .iter()
        .filter(|(one, other)| vocabulary.key(one).is_some() && vocabulary.key(other).is_some())
        .map(|(one, other)| json!({"not": {"required": [one, other]}}))
        .collect();
    if !exclusive.is_empty() {
        schema["allOf"] = Value::Array(exclusive);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = of_shape(&key.shape);
    let mut doc = key.doc.to_owned();
    if let Some(default) = key.default {
        doc.push_str(" Default: ");
        doc.push_str(default);
        doc.push('.');
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), Value::String(doc.replace('`', "")));
        // Editors that know this word show it instead.
        fields.insert("markdownDescription".to_owned(), Value::String(doc));
    }
    schema
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::Template => json!({"type": "string"}),
        Shape::Form(_, WORD_OR_TASK) => {
            let words: Vec<&str> = WORDS.iter().map(|word| word.name).filter(|name| *name != "ERR_").collect();
            json!({"anyOf": [{"enum": words}, {"type": "string", "minLength": 1}]})
        }
        Shape::Form(_, pattern) => json!({"type": "string", "pattern": pattern}),
        Shape::Scalar | Shape::TemplateScalar => json!({"type": ["string", "number", "boolean"]}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Integer(low, u32::MAX) => json!({"type": "integer", "minimum": low}),
        Shape::Integer(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Shape::Number(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
        Shape::Duration => json!({"type": "string", "pattern": "^\\s*([0-9]+(ms|s|m|h|d))+\\s*$"}),
        Shape::Choice(words) => json!({"enum": words}),
        Shape::Any => json!({}),
        Shape::Nothing => json!({"type": "null"}),
        Shape::OrTemplate(inner) => {
            json!({"anyOf": [of_shape(inner), {"type": "string", "pattern": "^\\s*\\{\\{[\\s\\S]*\\}\\}\\s*$"}]})
        }
        Shape::List(item, least, most) => {
            let mut schema = json!({"type": "array", "items": of_shape(item)});
            if *least > 0 {
                schema["minItems"] = json!(least);
            }
            if *most < usize::MAX {
                schema["maxItems"] = json!(most);
            }
            schema
        }
        Shape::Map(names, value) => {
            let mut schema = json!({"type": "object", "additionalProperties": of_shape(value)});
            match *names {
                ANY_NAME => {}
                RESULT => {
                    let results = ResultName::ALL.iter().map(|result| result.as_str());
                    let classes = AgentClass::ALL.iter().map(|class| class.as_str());
                    let words: Vec<&str> = results.chain(classes).chain(["COMPLETED", "FAILED", "*"]).collect();
                    schema["propertyNames"] = json!({"anyOf": [{"enum": words}, {"pattern": "^[0-9]"}]});
                }
                pattern => schema["propertyNames"] = json!({"pattern": pattern}),
            }
            schema
        }
        Shape::OneOf(shapes) => json!({"anyOf": shapes.iter().map(of_shape).collect::<Vec<_>>()}),
        Shape::Mapping(vocabulary) => json!({"$ref": format!("#/$defs/{}", vocabulary.slug())}),
        Shape::TaskDefaults => json!({"$ref": "#/$defs/task-defaults"}),
    }
}
