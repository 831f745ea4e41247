//! `x is …`.

use minijinja::machinery::ast::CallArg;

use std::cmp::Ordering;

use super::{Evaluator, Outcome};
use crate::template::problem::{E_UNKNOWN, E_VALUE, did_you_mean};
use crate::template::value::Data;
use crate::template::{TemplateProblem, Value};

/// The tests that a template may use.
pub(crate) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

impl<'t> Evaluator<'t, '_> {
    pub(super) fn test(&mut self, name: &str, value: &Value, args: &'t [CallArg<'t>], offset: usize) -> Outcome<Value> {
        let result = match name {
            "defined" => !value.is_undefined(),
            "undefined" => value.is_undefined(),
            _ => {
                let value = Self::defined(value.clone(), offset)?;
                let arguments = self.arguments(args, offset)?;
                let other = arguments.positional.first();
                self.test_defined(name, &value, other, offset)?
            }
        };
        Ok(Value::from(result).tainted(value.origin))
    }

    /// For `select` and `reject`.
    pub(super) fn test_by_name(
        &mut self,
        name: &str,
        value: &Value,
        other: Option<&Value>,
        offset: usize,
    ) -> Outcome<bool> {
        match name {
            "defined" => Ok(!value.is_undefined()),
            "undefined" => Ok(value.is_undefined()),
            _ => self.test_defined(name, value, other, offset),
        }
    }

    fn test_defined(&mut self, name: &str, value: &Value, other: Option<&Value>, offset: usize) -> Outcome<bool> {
        let other =
            || other.ok_or_else(|| TemplateProblem::new(E_VALUE, offset, format!("`is {name}` needs an argument")));
        Ok(match name {
            "none" => matches!(value.data, Data::None),
            "boolean" => matches!(value.data, Data::Bool(_)),
            "true" => matches!(value.data, Data::Bool(true)),
            "false" => matches!(value.data, Data::Bool(false)),
            "integer" => matches!(value.data, Data::Int(_)),
            "float" => matches!(value.data, Data::Float(_)),
            "number" => matches!(value.data, Data::Int(_) | Data::Float(_)),
            "string" => matches!(value.data, Data::Text(_)),
            "mapping" => matches!(value.data, Data::Map(_) | Data::Namespace(_)),
            "sequence" => matches!(value.data, Data::List(_)),
            "iterable" => matches!(value.data, Data::List(_) | Data::Map(_) | Data::Namespace(_) | Data::Text(_)),
            "odd" | "even" => match value.data {
                Data::Int(number) => (number % 2 != 0) == (name == "odd"),
                _ => {
                    return Err(TemplateProblem::new(
                        E_VALUE,
                        offset,
                        format!("{} is neither odd nor even", value.kind()),
                    ));
                }
            },
            "divisibleby" => match (&value.data, &other()?.data) {
                (Data::Int(number), Data::Int(by)) if *by != 0 => number.checked_rem(*by) == Some(0),
                _ => return Err(TemplateProblem::new(E_VALUE, offset, "`is divisibleby` needs integers other than 0")),
            },
            "startingwith" | "endingwith" => match (value.as_text(), other()?.as_text()) {
                (Some(text), Some(part)) if name == "startingwith" => text.starts_with(part),
                (Some(text), Some(part)) => text.ends_with(part),
                _ => return Err(TemplateProblem::new(E_VALUE, offset, format!("`is {name}` needs strings"))),
            },
            "eq" | "equalto" | "==" => self.equal(value, other()?, offset)?,
            "ne" | "!=" => !self.equal(value, other()?, offset)?,
            "lt" | "<" => self.order(value, other()?, offset)? == Ordering::Less,
            "le" | "<=" => self.order(value, other()?, offset)? != Ordering::Greater,
            "gt" | ">" => self.order(value, other()?, offset)? == Ordering::Greater,
            "ge" | ">=" => self.order(value, other()?, offset)? != Ordering::Less,
            "in" => {
                let container = other()?.clone();
                self.compare(minijinja::machinery::ast::CompareOpKind::In, value, &container, offset)?
            }
            _ => {
                let problem = TemplateProblem::new(E_UNKNOWN, offset, format!("there is no test `is {name}`"));
                return Err(match did_you_mean(name, TESTS.iter().copied()) {
                    Some(meant) => problem.with_help(format!("did you mean `is {meant}`?")),
                    None => problem.with_help(format!("there are {}", TESTS.join(", "))),
                });
            }
        })
    }
}
