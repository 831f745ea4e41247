//! Operators.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::machinery::ast::{BinOpKind, CompareOpKind, Expr, Slice};

use super::{Evaluator, Outcome};
use crate::template::problem::E_VALUE;
use crate::template::value::Data;
use crate::template::{TemplateProblem, Value};

pub(super) fn negate(value: &Value, offset: usize) -> Outcome<Value> {
    let data = match value.data {
        Data::Int(number) => number.checked_neg().map(Data::Int),
        Data::Float(number) => Some(Data::Float(-number)),
        _ => None,
    };
    data.map(|data| Value::of(data).tainted(value.origin))
        .ok_or_else(|| TemplateProblem::new(E_VALUE, offset, format!("{} cannot be negated", value.kind())))
}

impl<'t> Evaluator<'t, '_> {
    pub(super) fn binary(&mut self, op: BinOpKind, left: &Value, right: &Value, offset: usize) -> Outcome<Value> {
        let origin = left.origin.join(right.origin);
        let truth = |result: bool| Ok(Value::from(result).tainted(origin));
        match op {
            BinOpKind::Eq => truth(self.equal(left, right, offset)?),
            BinOpKind::Ne => truth(!self.equal(left, right, offset)?),
            BinOpKind::Lt => truth(self.order(left, right, offset)? == Ordering::Less),
            BinOpKind::Lte => truth(self.order(left, right, offset)? != Ordering::Greater),
            BinOpKind::Gt => truth(self.order(left, right, offset)? == Ordering::Greater),
            BinOpKind::Gte => truth(self.order(left, right, offset)? != Ordering::Less),
            BinOpKind::In => truth(self.contains(right, left, offset)?),
            BinOpKind::Concat => {
                let left = self.text_of(left, offset)?;
                let right = self.text_of(right, offset)?;
                self.charge(left.len() + right.len(), offset)?;
                self.make_text([left.as_ref(), right.as_ref()].concat(), origin, offset)
            }
            BinOpKind::Add => match (&left.data, &right.data) {
                (Data::Text(a), Data::Text(b)) => {
                    self.charge(a.len() + b.len(), offset)?;
                    self.make_text([a.as_ref(), b.as_ref()].concat(), origin, offset)
                }
                (Data::List(a), Data::List(b)) => {
                    self.charge((a.len() + b.len()) * 64, offset)?;
                    let items = a.iter().chain(b.iter()).cloned().collect();
                    self.make(Data::List(Arc::new(items)), offset)
                }
                _ => arithmetic(op, left, right, offset),
            },
            BinOpKind::Mul => match (&left.data, &right.data) {
                (Data::Text(text), Data::Int(times)) | (Data::Int(times), Data::Text(text)) => {
                    let times = usize::try_from(*times).unwrap_or(0);
                    self.charge(text.len().saturating_mul(times), offset)?;
                    self.make_text(text.repeat(times), origin, offset)
                }
                _ => arithmetic(op, left, right, offset),
            },
            _ => arithmetic(op, left, right, offset),
        }
    }

    pub(super) fn compare(&mut self, op: CompareOpKind, left: &Value, right: &Value, offset: usize) -> Outcome<bool> {
        Ok(match op {
            CompareOpKind::Eq => self.equal(left, right, offset)?,
            CompareOpKind::Ne => !self.equal(left, right, offset)?,
            CompareOpKind::Lt => self.order(left, right, offset)? == Ordering::Less,
            CompareOpKind::Lte => self.order(left, right, offset)? != Ordering::Greater,
            CompareOpKind::Gt => self.order(left, right, offset)? == Ordering::Greater,
            CompareOpKind::Gte => self.order(left, right, offset)? != Ordering::Less,
            CompareOpKind::In => self.contains(right, left, offset)?,
            CompareOpKind::NotIn => !self.contains(right, left, offset)?,
        })
    }

    pub(super) fn equal(&mut self, left: &Value, right: &Value, offset: usize) -> Outcome<bool> {
        let left = self.whole(left.clone(), offset)?;
        let right = self.whole(right.clone(), offset)?;
        self.charge(left.size.min(right.size), offset)?;
        Ok(left == right)
    }

    pub(super) fn order(&mut self, left: &Value, right: &Value, offset: usize) -> Outcome<Ordering> {
        self.charge(left.size.min(right.size), offset)?;
        let order = match (&left.data, &right.data) {
            (Data::Int(a), Data::Int(b)) => Some(a.cmp(b)),
            (Data::Text(a), Data::Text(b)) => Some(a.cmp(b)),
            (Data::Bool(a), Data::Bool(b)) => Some(a.cmp(b)),
            _ => match (left.as_f64(), right.as_f64()) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        };
        order.ok_or_else(|| {
            let problem = TemplateProblem::new(
                E_VALUE,
                offset,
                format!("{} cannot be compared with {}", left.kind(), right.kind()),
            );
            match (&left.data, &right.data) {
                (Data::Text(_), Data::Int(_)) | (Data::Int(_), Data::Text(_)) => {
                    problem.with_help("turn the string into a number with `| int`")
                }
                _ => problem,
            }
        })
    }

    fn contains(&mut self, container: &Value, item: &Value, offset: usize) -> Outcome<bool> {
        match (&container.data, &item.data) {
            (Data::Text(text), Data::Text(part)) => {
                self.charge(text.len(), offset)?;
                Ok(text.contains(part.as_ref()))
            }
            (Data::List(items), _) => {
                for candidate in items.iter() {
                    if self.equal(candidate, item, offset)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Data::Map(map), Data::Text(key)) => Ok(map.contains_key(key.as_ref())),
            (Data::Namespace(namespace), Data::Text(key)) => {
                let names = namespace.names();
                self.charge(names.len() * 16, offset)?;
                Ok(names.iter().any(|name| name.as_str() == key.as_ref()))
            }
            _ => Err(TemplateProblem::new(
                E_VALUE,
                offset,
                format!("`in` does not work with {} in {}", item.kind(), container.kind()),
            )),
        }
    }

    pub(super) fn slice(&mut self, slice: &'t Slice<'t>, offset: usize) -> Outcome<Value> {
        let value = self.value_of(&slice.expr)?;
        let mut bound = |expr: &'t Option<Expr<'t>>| -> Outcome<Option<i128>> {
            let Some(expr) = expr else { return Ok(None) };
            match self.value_of(expr)?.data {
                Data::Int(number) => Ok(Some(number)),
                Data::None => Ok(None),
                _ => Err(TemplateProblem::new(E_VALUE, offset, "a slice goes from integer to integer")),
            }
        };
        let (start, stop, step) = (bound(&slice.start)?, bound(&slice.stop)?, bound(&slice.step)?);
        if step.is_some_and(|step| step < 1) {
            return Err(TemplateProblem::new(E_VALUE, offset, "a slice's step must be at least 1")
                .with_help("use `| reverse` to go backwards"));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        let range = |len: usize| {
            let clamp = |bound: i128| {
                let bound = if bound < 0 { bound + len as i128 } else { bound };
                usize::try_from(bound.max(0)).unwrap_or(len).min(len)
            };
            let from = start.map_or(0, clamp);
            (from, stop.map_or(len, clamp).saturating_sub(from))
        };
        match &value.data {
            Data::Text(text) => {
                self.charge(text.len(), offset)?;
                let (from, len) = range(text.chars().count());
                let text = text.chars().skip(from).take(len).step_by(step).collect();
                self.make_text(text, value.origin, offset)
            }
            Data::List(items) => {
                let (from, len) = range(items.len());
                let items = items.iter().skip(from).take(len).step_by(step).cloned().collect();
                self.make(Data::List(Arc::new(items)), offset)
            }
            _ => Err(TemplateProblem::new(E_VALUE, offset, format!("{} cannot be sliced", value.kind()))),
        }
    }

    /// The text that printing a value gives, paid for.
    pub(super) fn text_of(&mut self, value: &Value, offset: usize) -> Outcome<Arc<str>> {
        if let Data::Text(text) = &value.data {
            return Ok(text.clone());
        }
        let value = self.whole(value.clone(), offset)?;
        self.charge(value.size, offset)?;
        let text = value.printed().map_err(|problem| Self::elsewhere(problem, offset))?;
        text.ok_or_else(|| {
            TemplateProblem::new(E_VALUE, offset, format!("{} has no text", value.kind()))
                .with_help("give it a default: x | default('', true)")
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "floats are approximate")]
fn arithmetic(op: BinOpKind, left: &Value, right: &Value, offset: usize) -> Outcome<Value> {
    let origin = left.origin.join(right.origin);
    let symbol = match op {
        BinOpKind::Add => "+",
        BinOpKind::Sub => "-",
        BinOpKind::Mul => "*",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        _ => "**",
    };
    let failed = |why: &str| TemplateProblem::new(E_VALUE, offset, format!("`{symbol}`: {why}"));
    if let (Data::Int(a), Data::Int(b)) = (&left.data, &right.data) {
        let (a, b) = (*a, *b);
        if b == 0 && matches!(op, BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem) {
            return Err(failed("division by zero"));
        }
        let result = match op {
            BinOpKind::Add => a.checked_add(b),
            BinOpKind::Sub => a.checked_sub(b),
            BinOpKind::Mul => a.checked_mul(b),
            BinOpKind::Div => return Ok(Value::of(Data::Float(a as f64 / b as f64)).tainted(origin)),
            BinOpKind::FloorDiv => {
                a.checked_div(b).map(|quotient| quotient - i128::from(a % b != 0 && (a < 0) != (b < 0)))
            }
            BinOpKind::Rem => {
                a.checked_rem(b).map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            _ => u32::try_from(b).ok().and_then(|exponent| a.checked_pow(exponent)),
        };
        let result = result.ok_or_else(|| failed("the result is too large"))?;
        return Ok(Value::of(Data::Int(result)).tainted(origin));
    }
    let (Some(a), Some(b)) = (left.as_f64(), right.as_f64()) else {
        let problem = failed(&format!("{} and {} do not go together", left.kind(), right.kind()));
        return Err(if matches!(op, BinOpKind::Add) { problem.with_help("use `~` to join texts") } else { problem });
    };
    let result = match op {
        BinOpKind::Add => a + b,
        BinOpKind::Sub => a - b,
        BinOpKind::Mul => a * b,
        BinOpKind::Div => a / b,
        BinOpKind::FloorDiv => (a / b).floor(),
        BinOpKind::Rem => a - b * (a / b).floor(),
        _ => a.powf(b),
    };
    if !result.is_finite() {
        return Err(failed("the result is no number"));
    }
    Ok(Value::of(Data::Float(result)).tainted(origin))
}
