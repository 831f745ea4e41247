//! What plain YAML scalars mean: the YAML 1.2 core schema.

use serde_json::{Number, Value};

use super::tree::{Kind, Node, Scalar};

/// The meaning of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text,
}

impl Scalar<'_> {
    /// Quoted scalars are text; plain ones by the core schema: `yes`, `no`, `on` and `off` are text too.
    pub(super) fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Boolean(true),
            "false" | "False" | "FALSE" => Meaning::Boolean(false),
            text => number(text),
        }
    }

    /// The tag of the core schema that says the same.
    pub(super) fn core_tag(&self) -> &'static str {
        match self.meaning() {
            Meaning::Null => "null",
            Meaning::Boolean(_) => "bool",
            Meaning::Integer(_) => "int",
            Meaning::Float(_) => "float",
            Meaning::Text => "str",
        }
    }

    /// How a message names what was found.
    pub(super) fn described(&self) -> String {
        match self.meaning() {
            Meaning::Null => "nothing".to_owned(),
            Meaning::Boolean(value) => format!("the boolean {value}"),
            Meaning::Integer(_) | Meaning::Float(_) => format!("the number {}", shortened(&self.text)),
            Meaning::Text => format!("the text \"{}\"", shortened(&self.text)),
        }
    }
}

impl Node<'_> {
    /// How a message names what was found.
    pub(super) fn described(&self) -> String {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.described(),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Reported => "something else".to_owned(),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }

    /// The same value as JSON. Numbers that JSON cannot hold become text.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Value::Null,
                Meaning::Boolean(value) => Value::Bool(value),
                Meaning::Integer(value) => {
                    integer(value).map_or_else(|| Value::String(scalar.text.to_string()), Value::Number)
                }
                Meaning::Float(value) => {
                    Number::from_f64(value).map_or_else(|| Value::String(scalar.text.to_string()), Value::Number)
                }
                Meaning::Text => Value::String(scalar.text.to_string()),
            },
            Kind::Sequence(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Mapping(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.to_string(), entry.value.to_json())).collect())
            }
            Kind::Reported => Value::Null,
        }
    }
}

fn integer(value: i128) -> Option<Number> {
    i64::try_from(value).map(Number::from).ok().or_else(|| u64::try_from(value).map(Number::from).ok())
}

fn number(text: &str) -> Meaning {
    let first = text.as_bytes().first().copied().unwrap_or(b' ');
    if !first.is_ascii_digit() && !matches!(first, b'-' | b'+' | b'.') {
        return Meaning::Text;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).map_or(Meaning::Text, Meaning::Integer);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).map_or(Meaning::Text, Meaning::Integer);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        // Beyond 38 digits it is no number that anything here could use.
        return text.parse().map_or(Meaning::Text, Meaning::Integer);
    }
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Meaning::Float(if first == b'-' { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    let float_like = unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if float_like { text.parse().map_or(Meaning::Text, Meaning::Float) } else { Meaning::Text }
}

/// At most about sixty characters on one line, for messages.
pub(super) fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::super::tree::Text;
    use super::*;

    fn plain(text: &str) -> Meaning {
        Scalar { text: Text::Source(text), plain: true }.meaning()
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        assert_eq!(plain("12"), Meaning::Integer(12));
        assert_eq!(plain("-7"), Meaning::Integer(-7));
        assert_eq!(plain("0x1F"), Meaning::Integer(31));
        assert_eq!(plain("1.5"), Meaning::Float(1.5));
        assert_eq!(plain("1e3"), Meaning::Float(1000.0));
        assert_eq!(plain("true"), Meaning::Boolean(true));
        assert_eq!(plain("~"), Meaning::Null);
        for text in ["yes", "no", "on", "off", "1.2.3", "-", "10m", "64-78", "1_000", "."] {
            assert_eq!(plain(text), Meaning::Text, "{text}");
        }
    }
}
