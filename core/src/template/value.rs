//! Values of the template language: JSON that knows where it came from.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::TemplateProblem;

/// Who chose a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    /// The author of the definition, or the engine.
    #[default]
    Trusted,
    /// Anybody: params, triggers, outputs of agents, and everything computed from them.
    Outside,
}

impl Origin {
    /// Outside when either is.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

/// A value with its origin. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Value {
    pub(crate) data: Data,
    /// Of a container: the worst in it.
    pub(crate) origin: Origin,
    /// Bytes that printing it would take, roughly; shared parts count each time. Bounds the work of every operation.
    pub(crate) size: usize,
    /// How deep containers nest in it.
    pub(crate) depth: u16,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Undefined(Arc<Missing>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    List(Arc<Vec<Value>>),
    Map(Arc<IndexMap<String, Value>>),
    Namespace(Arc<dyn Namespace>),
    /// Index into the evaluator's table of macros; of `caller` too.
    Macro(usize),
}

/// Why a value is undefined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Named values that are looked up one by one, when they are needed.
pub trait Namespace: Send + Sync + std::fmt::Debug {
    /// What messages call it: `params`, `tasks`, `task "plan"`.
    fn title(&self) -> String;
    /// The value of a name; `None` when there is no such name.
    fn lookup(&self, name: &str) -> Result<Option<Value>, TemplateProblem>;
    /// All names, for "did you mean" and for printing the whole.
    fn names(&self) -> Vec<String>;
    /// Whether a name that is not there is an error at once, even under `default`.
    fn closed(&self) -> bool {
        false
    }
}

impl Value {
    /// A value that the definition's author or the engine chose.
    pub fn trusted(json: &Json) -> Self {
        Self::from_json(json, Origin::Trusted)
    }

    /// A value that somebody else chose.
    pub fn outside(json: &Json) -> Self {
        Self::from_json(json, Origin::Outside)
    }

    /// A JSON value, all of it of one origin.
    pub fn from_json(json: &Json, origin: Origin) -> Self {
        let data = match json {
            Json::Null => Data::None,
            Json::Bool(value) => Data::Bool(*value),
            Json::Number(number) => number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from))
                .map_or_else(|| Data::Float(number.as_f64().unwrap_or(f64::NAN)), Data::Int),
            Json::String(text) => Data::Text(text.as_str().into()),
            Json::Array(items) => {
                Data::List(Arc::new(items.iter().map(|item| Self::from_json(item, origin)).collect()))
            }
            Json::Object(map) => Data::Map(Arc::new(
                map.iter().map(|(key, value)| (key.clone(), Self::from_json(value, origin))).collect(),
            )),
        };
        Self::of(data).tainted(origin)
    }

    /// A text that the definition's author or the engine chose.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::of(Data::Text(text.into()))
    }

    /// Values that are looked up when they are needed.
    pub fn namespace(namespace: Arc<dyn Namespace>) -> Self {
        Self::of(Data::Namespace(namespace))
    }

    /// A list of values, each with its own origin.
    pub fn list(items: Vec<Self>) -> Self {
        Self::of(Data::List(Arc::new(items)))
    }

    /// A mapping of values, each with its own origin.
    pub fn map(entries: IndexMap<String, Self>) -> Self {
        Self::of(Data::Map(Arc::new(entries)))
    }

    /// The origin; of a container, the worst origin in it.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The same value with an origin that is at least this one.
    #[must_use]
    pub fn tainted(mut self, origin: Origin) -> Self {
        self.origin = self.origin.join(origin);
        self
    }

    pub(crate) fn of(data: Data) -> Self {
        let mut value = Self { origin: Origin::Trusted, size: 16, depth: 0, data: Data::None };
        let mut add = |item: &Self, extra: usize| {
            value.size = value.size.saturating_add(item.size).saturating_add(extra);
            value.depth = value.depth.max(item.depth.saturating_add(1));
            value.origin = value.origin.join(item.origin);
        };
        match &data {
            Data::List(items) => items.iter().for_each(|item| add(item, 16)),
            Data::Map(map) => map.iter().for_each(|(key, item)| add(item, key.len() + 32)),
            Data::Text(text) => value.size += text.len(),
            // Not known until all of it is looked up.
            Data::Namespace(_) => value.origin = Origin::Outside,
            _ => {}
        }
        value.data = data;
        value
    }

    pub(crate) fn undefined(message: impl Into<String>, help: Option<String>) -> Self {
        Self::of(Data::Undefined(Arc::new(Missing { message: message.into(), help })))
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self.data, Data::Undefined(_))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The word for this kind of value in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Undefined(_) => "an undefined value",
            Data::None => "none",
            Data::Bool(_) => "a boolean",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Text(_) => "a string",
            Data::List(_) => "a list",
            Data::Map(_) | Data::Namespace(_) => "a mapping",
            Data::Macro(_) => "a macro",
        }
    }

    /// Truth as in Jinja; the caller has refused undefined values.
    pub(crate) fn is_true(&self) -> bool {
        match &self.data {
            Data::Undefined(_) | Data::None => false,
            Data::Bool(value) => *value,
            Data::Int(value) => *value != 0,
            Data::Float(value) => *value != 0.0,
            Data::Text(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Map(map) => !map.is_empty(),
            Data::Namespace(_) | Data::Macro(_) => true,
        }
    }

    /// The JSON form. Undefined values inside are null; the caller has refused them at the top.
    pub(crate) fn to_json(&self) -> Result<Json, TemplateProblem> {
        Ok(match &self.data {
            Data::Undefined(_) | Data::None => Json::Null,
            Data::Bool(value) => Json::Bool(*value),
            Data::Int(value) => i64::try_from(*value)
                .map(Json::from)
                .or_else(|_| u64::try_from(*value).map(Json::from))
                .map_err(|_| {
                    TemplateProblem::new(super::problem::E_VALUE, None, format!("the integer {value} is too large"))
                })?,
            Data::Float(value) => serde_json::Number::from_f64(*value).map(Json::Number).ok_or_else(|| {
                TemplateProblem::new(super::problem::E_VALUE, None, format!("the number {value} has no JSON form"))
            })?,
            Data::Text(text) => Json::String(text.to_string()),
            Data::List(items) => Json::Array(items.iter().map(Self::to_json).collect::<Result<_, _>>()?),
            Data::Map(map) => Json::Object(
                map.iter().map(|(key, value)| Ok((key.clone(), value.to_json()?))).collect::<Result<_, _>>()?,
            ),
            Data::Namespace(namespace) => {
                let mut map = serde_json::Map::new();
                for name in namespace.names() {
                    if let Some(value) = namespace.lookup(&name)? {
                        map.insert(name, value.to_json()?);
                    }
                }
                Json::Object(map)
            }
            Data::Macro(_) => {
                return Err(TemplateProblem::new(
                    super::problem::E_VALUE,
                    None,
                    "a macro is no value; call it: name()",
                ));
            }
        })
    }

    /// The text that printing gives; `None` for none, undefined values and macros.
    pub(crate) fn printed(&self) -> Result<Option<Arc<str>>, TemplateProblem> {
        Ok(match &self.data {
            Data::Undefined(_) | Data::None | Data::Macro(_) => None,
            Data::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
            Data::Int(value) => Some(value.to_string().into()),
            Data::Text(text) => Some(text.clone()),
            Data::Float(_) | Data::List(_) | Data::Map(_) | Data::Namespace(_) => {
                Some(self.to_json()?.to_string().into())
            }
        })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (&self.data, &other.data) {
            (Data::Undefined(_), Data::Undefined(_)) | (Data::None, Data::None) => true,
            (Data::Bool(a), Data::Bool(b)) => a == b,
            (Data::Int(a), Data::Int(b)) => a == b,
            (Data::Int(_) | Data::Float(_), Data::Int(_) | Data::Float(_)) => self.as_f64() == other.as_f64(),
            (Data::Text(a), Data::Text(b)) => a == b,
            (Data::List(a), Data::List(b)) => a == b,
            (Data::Map(a), Data::Map(b)) => a == b,
            (Data::Macro(a), Data::Macro(b)) => a == b,
            _ => false,
        }
    }
}

impl Value {
    #[expect(clippy::cast_precision_loss, reason = "comparison and arithmetic with a float is approximate anyway")]
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self.data {
            Data::Int(value) => Some(value as f64),
            Data::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::of(Data::Int(number.into()))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::of(Data::Int(number.into()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::of(Data::Bool(value))
    }
}
