//! Parameters: their declaration, and the values that a submit brings.

use indexmap::IndexMap;
use regex_lite::Regex;
use serde_json::{Map, Value};

use super::keys::PARAM;
use super::problems::closest;
use super::scalar::shortened;
use super::task::TYPES;
use super::tree::{Entry, Node};
use super::walk::{Keys, Walk};
use super::{Diagnostic, JobDefinition, ParamSpec, ParamType, code};
use crate::protocol::api::FieldViolation;

impl ParamType {
    /// The name as it is written in definitions.
    pub fn as_str(self) -> &'static str {
        TYPES.iter().find(|(_, found)| *found == self).map_or("string", |(name, _)| name)
    }

    /// Whether a JSON value has this type; `1.0` is an integer, as in JSON Schema.
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
        }
    }
}

impl Walk {
    pub(super) fn params(&mut self, keys: &mut Keys<'_, '_>) -> IndexMap<String, ParamSpec> {
        let mut params = IndexMap::new();
        if let Some(entry) = keys.take("params") {
            for entry in self.mapping("params", &entry.value).unwrap_or_default() {
                self.check_template_name("a param", &entry.key, entry.key_span);
                let spec = self.param(entry);
                params.insert(entry.key.to_string(), spec);
            }
        }
        if let Some(entry) = keys.take("required_params") {
            for item in self.list("required_params", &entry.value).unwrap_or_default() {
                let Some(name) = self.text("an entry of required_params", item) else { continue };
                self.check_template_name("a param", &name, item.span);
                let spec: &mut ParamSpec = params.entry(name.clone()).or_insert_with(|| string_param(item.span));
                if spec.default.is_some() {
                    self.problems.error_with_help(
                        code::CONFLICT,
                        item.span,
                        format!("the param {name} is required and has a default"),
                        "a default is never used when a value must be given: remove one of them",
                    );
                }
                spec.required = true;
            }
        }
        params
    }

    fn param(&mut self, entry: &Entry<'_>) -> ParamSpec {
        let name = &*entry.key;
        let mut spec = string_param(entry.key_span);
        if entry.value.is_null() {
            return spec;
        }
        let Some(entries) = self.mapping(&format!("params.{name}"), &entry.value) else { return spec };
        let mut keys = Keys::new(entries);
        let declared = keys.take("type").map(|e| self.choice("type", &e.value, &TYPES));
        // Without a usable type nothing is said about values.
        let typed = declared != Some(None);
        spec.param_type = declared.flatten().unwrap_or(ParamType::String);
        spec.required = self.optional(&mut keys, "required", Self::boolean).unwrap_or(false);
        spec.description = self.optional(&mut keys, "description", Self::text);
        let pattern = keys.take("pattern").and_then(|entry| {
            let text = self.text("pattern", &entry.value)?;
            if spec.param_type != ParamType::String && typed {
                self.problems.error(
                    code::CONFLICT,
                    entry.key_span,
                    format!("`pattern` is for strings, and {name} is of type {}", spec.param_type.as_str()),
                );
                return None;
            }
            match Regex::new(&text) {
                Ok(_) => Some(text),
                Err(error) => {
                    self.problems.error_with_help(
                        code::PATTERN,
                        entry.value.span,
                        format!("`pattern` is not a regular expression: {error}"),
                        "in single quotes backslashes stay as they are: '^\\d+$'",
                    );
                    None
                }
            }
        });
        spec.pattern = pattern;
        if let Some(entry) = keys.take("enum") {
            let items = self.list("enum", &entry.value).unwrap_or_default();
            if items.is_empty() && !entry.value.is_null() {
                self.problems.error(code::VALUE, entry.value.span, "`enum` allows no value at all");
            }
            for item in items.iter().filter(|_| typed) {
                self.param_value(name, &spec, "the enum value", item);
            }
            spec.allowed = Some(items.iter().map(Node::to_json).collect());
        }
        if let Some(entry) = keys.take("default") {
            if typed {
                self.param_value(name, &spec, "the default", &entry.value);
            }
            if spec.required {
                self.problems.error_with_help(
                    code::CONFLICT,
                    entry.key_span,
                    format!("the param {name} is required and has a default"),
                    "a default is never used when a value must be given: remove one of them",
                );
            }
            spec.default = Some(entry.value.to_json());
        }
        if let Some(entry) = keys.take("secret")
            && self.boolean("secret", &entry.value) == Some(true)
        {
            self.problems.error_with_help(
                code::SECRET_PARAM,
                entry.key_span,
                format!("the param {name} cannot be secret: params are stored with the job, and shown with it"),
                format!("set it on the server with `atta secret set {name}`, and use `secrets.{name}`"),
            );
        }
        self.unknown_keys(&keys, &PARAM);
        spec
    }

    fn param_value(&mut self, name: &str, spec: &ParamSpec, what: &str, node: &Node<'_>) {
        if let Err(reason) = check_value(name, spec, &node.to_json()) {
            let mut problem = Diagnostic::error(
                code::PARAM_DEFAULT,
                node.span,
                format!("{what} of the param {name} is refused by the param itself: {reason}"),
            );
            if spec.param_type == ParamType::String && !node.to_json().is_string() && !node.is_null() {
                problem = problem.with_help("numbers and booleans are strings only in quotes");
            }
            self.problems.push(problem);
        }
    }
}

fn string_param(span: super::Span) -> ParamSpec {
    ParamSpec {
        param_type: ParamType::String,
        required: false,
        default: None,
        allowed: None,
        pattern: None,
        description: None,
        span,
    }
}

/// Why a value is refused, in words that begin with the name.
fn check_value(name: &str, spec: &ParamSpec, value: &Value) -> Result<(), String> {
    if !spec.param_type.accepts(value) {
        return Err(format!("{name} must be of type {}, and this is {}", spec.param_type.as_str(), described(value)));
    }
    if let Some(allowed) = &spec.allowed
        && !allowed.contains(value)
    {
        let names: Vec<String> = allowed.iter().take(20).map(plain).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(format!("{name} must be {}, and this is {}", super::walk::one_of(&names), described(value)));
    }
    if let (Some(pattern), Some(text)) = (&spec.pattern, value.as_str()) {
        let matches = Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
        if !matches {
            return Err(format!("{name} must match the pattern {pattern}, and \"{}\" does not", shortened(text)));
        }
    }
    Ok(())
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string \"{}\"", shortened(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The values of a submit with the defaults of what it does not name; or everything that is wrong with them.
pub fn check_params(
    definition: &JobDefinition,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let mut violation = |name: &str, code: &str, message: String| {
        violations.push(FieldViolation { field: format!("params.{name}"), code: code.to_owned(), message });
    };
    for name in given.keys().filter(|name| !definition.params.contains_key(*name)) {
        let shown = shortened(name);
        let message = match closest(name, definition.params.keys().map(String::as_str)) {
            Some(meant) => format!("{} has no param {shown}; did you mean {meant}?", definition.job_type),
            None if definition.params.is_empty() => format!("{} takes no params", definition.job_type),
            None => {
                let names: Vec<&str> = definition.params.keys().take(20).map(String::as_str).collect();
                format!("{} has no param {shown}; it takes {}", definition.job_type, names.join(", "))
            }
        };
        violation(&shown, "UNKNOWN_PARAM", message);
    }
    let mut values = Map::new();
    for (name, spec) in &definition.params {
        match given.get(name) {
            Some(value) => match check_value(name, spec, value) {
                Ok(()) => {
                    values.insert(name.clone(), value.clone());
                }
                Err(message) => violation(name, "INVALID_PARAM", message),
            },
            None if spec.required => {
                let message = match &spec.description {
                    Some(description) => format!("the param {name} is required ({description})"),
                    None => format!("the param {name} is required"),
                };
                violation(name, "MISSING_PARAM", message);
            }
            None => {
                if let Some(default) = &spec.default {
                    values.insert(name.clone(), default.clone());
                }
            }
        }
    }
    if violations.is_empty() { Ok(values) } else { Err(violations) }
}

/// Turns `NAME=VALUE` texts into values of the declared types. The result is still to be checked by [`check_params`],
/// which also names what is unknown or missing.
pub fn coerce_cli_params(
    definition: &JobDefinition,
    given: &[(String, String)],
) -> Result<Map<String, Value>, Vec<FieldViolation>> {
    let mut values = Map::new();
    let mut violations = Vec::new();
    for (name, text) in given {
        let wanted = definition.params.get(name).map_or(ParamType::String, |spec| spec.param_type);
        let value = match wanted {
            ParamType::String => Some(Value::String(text.clone())),
            _ => serde_json::from_str(text.trim()).ok().filter(|value| wanted.accepts(value)),
        };
        match value {
            Some(value) => {
                values.insert(name.clone(), value);
            }
            None => violations.push(FieldViolation {
                field: format!("params.{name}"),
                code: "INVALID_PARAM".to_owned(),
                message: format!(
                    "{name} must be of type {}, and \"{}\" is not{}",
                    wanted.as_str(),
                    shortened(text),
                    match wanted {
                        ParamType::Boolean => "; write true or false",
                        ParamType::Object => "; write JSON such as {\"key\": 1}",
                        ParamType::Array => "; write JSON such as [\"a\", \"b\"]",
                        _ => "",
                    }
                ),
            }),
        }
    }
    if violations.is_empty() { Ok(values) } else { Err(violations) }
}
