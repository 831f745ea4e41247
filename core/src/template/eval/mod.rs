//! Evaluating a template: minijinja's syntax tree over values that know their origin, within limits.
//!
//! Every operation is charged for the bytes that it touches or makes, so one budget bounds time and memory.

mod call;
mod filters;
mod ops;
mod statement;
mod tests_of_values;

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::machinery::ast::{BinOpKind, Expr, Stmt, UnaryOpKind};

use super::problem::{E_UNDEFINED, E_VALUE, did_you_mean};
use super::value::{Data, Origin};
use super::{Functions, Limits, Scope, TemplateProblem, Value};

pub(crate) use filters::FILTERS;
pub(crate) use statement::strip_marks;
pub(crate) use tests_of_values::TESTS;

/// The functions that a template may call.
pub(crate) const FUNCTIONS: &[&str] = &["count_jobs", "CountByJobTypeAndState", "now", "env", "range", "dict"];

/// Where the text of a template goes.
pub(crate) trait Sink {
    /// Text of the template itself.
    fn literal(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem>;
    /// A value that is printed. Undefined values do not come here.
    fn value(&mut self, value: &Value, marks: Marks, offset: usize) -> Result<(), TemplateProblem>;
    /// Whether `none` may be printed (inside captured text too).
    fn prints_none(&self) -> bool;
}

/// What the author said about a printed value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// `| raw`: splice it.
    pub(crate) raw: bool,
    /// `| option`: it may start with `-`.
    pub(crate) option: bool,
}

struct Capture {
    text: String,
    origin: Origin,
}

/// A macro, or the body of a `call` block.
#[derive(Clone)]
struct MacroDefinition<'t> {
    declaration: &'t minijinja::machinery::ast::Macro<'t>,
    /// The names that the body of a `call` block sees; a macro sees the template's top level.
    enclosing: Option<Vec<HashMap<String, Value>>>,
}

/// One evaluation.
pub(crate) struct Evaluator<'t, 's> {
    scope: &'s dyn Scope,
    functions: &'s dyn Functions,
    sink: &'s mut dyn Sink,
    frames: Vec<HashMap<String, Value>>,
    macros: Vec<MacroDefinition<'t>>,
    captures: Vec<Capture>,
    steps: u64,
    work: usize,
    depth: u32,
    limits: &'s Limits,
}

type Outcome<T> = Result<T, TemplateProblem>;

impl<'t, 's> Evaluator<'t, 's> {
    pub(crate) fn new(
        scope: &'s dyn Scope,
        functions: &'s dyn Functions,
        limits: &'s Limits,
        sink: &'s mut dyn Sink,
    ) -> Self {
        Self {
            scope,
            functions,
            sink,
            frames: vec![HashMap::new()],
            macros: Vec::new(),
            captures: Vec::new(),
            steps: limits.fuel,
            work: limits.memory,
            depth: 0,
            limits,
        }
    }

    /// Runs a whole template.
    pub(crate) fn template(&mut self, tree: &'t Stmt<'t>) -> Outcome<()> {
        self.statement(tree)
    }

    /// The value of an expression, defined.
    pub(crate) fn value_of(&mut self, expr: &'t Expr<'t>) -> Outcome<Value> {
        let value = self.expression(expr)?;
        Self::defined(value, at(expr))
    }

    /// The value of an expression, with namespaces turned into plain mappings.
    pub(crate) fn whole_value_of(&mut self, expr: &'t Expr<'t>) -> Outcome<Value> {
        let value = self.value_of(expr)?;
        self.whole(value, at(expr))
    }

    fn step(&mut self, offset: usize) -> Outcome<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| {
            TemplateProblem::limit(offset, format!("the template takes more than {} steps", self.limits.fuel))
        })?;
        Ok(())
    }

    /// Pays for bytes that are about to be made or touched.
    fn charge(&mut self, bytes: usize, offset: usize) -> Outcome<()> {
        self.work = self.work.checked_sub(bytes).ok_or_else(|| {
            TemplateProblem::limit(
                offset,
                format!("the template makes or reads more than {} MiB of values", self.limits.memory >> 20),
            )
        })?;
        Ok(())
    }

    fn deeper<T>(&mut self, offset: usize, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= self.limits.recursion {
            return Err(TemplateProblem::limit(
                offset,
                format!("the template nests deeper than {} levels", self.limits.recursion),
            ));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// A new text, paid for.
    fn make_text(&mut self, text: String, origin: Origin, offset: usize) -> Outcome<Value> {
        self.charge(text.len() + 16, offset)?;
        Ok(Value::text(text).tainted(origin))
    }

    /// A new container, paid for.
    fn make(&mut self, data: Data, offset: usize) -> Outcome<Value> {
        let entries = match &data {
            Data::List(items) => items.len(),
            Data::Map(map) => map.len() + map.keys().map(String::len).sum::<usize>() / 32,
            _ => 0,
        };
        self.charge(entries * 64 + 16, offset)?;
        let value = Value::of(data);
        if value.depth > 64 || value.size > self.limits.memory {
            return Err(TemplateProblem::limit(offset, "a value becomes too large or nests too deep"));
        }
        Ok(value)
    }

    /// The value, or an error when it is undefined.
    fn defined(value: Value, offset: usize) -> Outcome<Value> {
        if let Data::Undefined(missing) = &value.data {
            return Err(TemplateProblem {
                code: E_UNDEFINED,
                message: missing.message.clone(),
                offset: Some(offset),
                entry: 0,
                help: missing.help.clone(),
            });
        }
        Ok(value)
    }

    /// The value with namespaces turned into plain mappings.
    fn whole(&mut self, value: Value, offset: usize) -> Outcome<Value> {
        let Data::Namespace(namespace) = &value.data else { return Ok(value) };
        if namespace.closed() {
            return Err(TemplateProblem::new(
                E_VALUE,
                offset,
                format!("`{}` cannot be used as a whole", namespace.title()),
            )
            .with_help("name one entry of it"));
        }
        let mut map = indexmap::IndexMap::new();
        for name in namespace.names() {
            if let Some(item) = namespace.lookup(&name).map_err(|problem| Self::elsewhere(problem, offset))? {
                let item = if matches!(item.data, Data::Namespace(_)) {
                    self.deeper(offset, |this| this.whole(item, offset))?
                } else {
                    item
                };
                if !item.is_undefined() {
                    map.insert(name, item);
                }
            }
        }
        self.make(Data::Map(Arc::new(map)), offset)
    }

    /// A problem in another template (a job variable) seen from here.
    fn elsewhere(mut problem: TemplateProblem, offset: usize) -> TemplateProblem {
        problem.offset = Some(offset);
        problem
    }

    fn lookup(&mut self, name: &str, offset: usize) -> Outcome<Value> {
        for frame in self.frames.iter().rev() {
            if let Some(value) = frame.get(name) {
                return Ok(value.clone());
            }
        }
        if let Some(value) = self.scope.get(name).map_err(|problem| Self::elsewhere(problem, offset))? {
            return Ok(value);
        }
        let mut names = self.scope.names();
        names.extend(self.frames.iter().flat_map(|frame| frame.keys().cloned()));
        let help = did_you_mean(name, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
        Ok(Value::undefined(format!("`{name}` is not defined"), help))
    }

    fn expression(&mut self, expr: &'t Expr<'t>) -> Outcome<Value> {
        let offset = at(expr);
        self.step(offset)?;
        self.deeper(offset, |this| this.expression_unguarded(expr, offset))
    }

    fn expression_unguarded(&mut self, expr: &'t Expr<'t>, offset: usize) -> Outcome<Value> {
        match expr {
            Expr::Var(var) => self.lookup(var.id, offset),
            Expr::Const(constant) => self.constant(&constant.value, offset),
            Expr::GetAttr(access) => {
                let owner = self.expression(&access.expr)?;
                Self::attribute(&owner, access.name, expr, offset)
            }
            Expr::GetItem(access) => {
                let owner = self.expression(&access.expr)?;
                let key = self.value_of(&access.subscript_expr)?;
                self.item(&owner, &key, expr, offset)
            }
            Expr::Slice(slice) => self.slice(slice, offset),
            Expr::UnaryOp(operation) => {
                let value = self.value_of(&operation.expr)?;
                match operation.op {
                    UnaryOpKind::Not => Ok(Value::from(!value.is_true()).tainted(value.origin)),
                    UnaryOpKind::Neg => ops::negate(&value, offset),
                }
            }
            Expr::BinOp(operation) => match operation.op {
                BinOpKind::ScAnd => {
                    let left = self.value_of(&operation.left)?;
                    if left.is_true() { self.value_of(&operation.right) } else { Ok(left) }
                }
                BinOpKind::ScOr => {
                    let left = self.value_of(&operation.left)?;
                    if left.is_true() { Ok(left) } else { self.value_of(&operation.right) }
                }
                op => {
                    let left = self.value_of(&operation.left)?;
                    let right = self.value_of(&operation.right)?;
                    self.binary(op, &left, &right, offset)
                }
            },
            Expr::Compare(compare) => {
                let mut left = self.value_of(&compare.expr)?;
                let mut origin = left.origin;
                for operand in &compare.ops {
                    let right = self.value_of(&operand.expr)?;
                    origin = origin.join(right.origin);
                    if !self.compare(operand.op, &left, &right, offset)? {
                        return Ok(Value::from(false).tainted(origin));
                    }
                    left = right;
                }
                Ok(Value::from(true).tainted(origin))
            }
            Expr::IfExpr(choice) => {
                if self.value_of(&choice.test_expr)?.is_true() {
                    self.expression(&choice.true_expr)
                } else if let Some(otherwise) = &choice.false_expr {
                    self.expression(otherwise)
                } else {
                    Ok(Value::undefined("an `if` expression without `else` has no value here", None))
                }
            }
            Expr::Filter(filter) => {
                let input = match &filter.expr {
                    Some(input) => self.expression(input)?,
                    None => return Err(TemplateProblem::new(E_VALUE, offset, "a filter needs a value")),
                };
                self.filter(filter.name, input, &filter.args, offset)
            }
            Expr::Test(test) => {
                let value = self.expression(&test.expr)?;
                self.test(test.name, &value, &test.args, offset)
            }
            Expr::Call(call) => self.call(call, offset),
            Expr::List(list) => self.list(&list.items, offset),
            Expr::Tuple(tuple) => self.list(&tuple.items, offset),
            Expr::Map(map) => {
                let mut entries = indexmap::IndexMap::new();
                for (key, value) in map.keys.iter().zip(&map.values) {
                    let key = self.value_of(key)?;
                    let name = self.key_text(&key, offset)?;
                    let value = self.value_of(value)?.tainted(key.origin);
                    entries.insert(name, value);
                }
                self.make(Data::Map(Arc::new(entries)), offset)
            }
        }
    }

    fn list(&mut self, items: &'t [Expr<'t>], offset: usize) -> Outcome<Value> {
        let items = items.iter().map(|item| self.value_of(item)).collect::<Outcome<Vec<_>>>()?;
        self.make(Data::List(Arc::new(items)), offset)
    }

    fn constant(&mut self, value: &minijinja::Value, offset: usize) -> Outcome<Value> {
        if let Some(text) = value.as_str() {
            return self.make_text(text.to_owned(), Origin::Trusted, offset);
        }
        let data = if value.is_none() {
            Some(Data::None)
        } else if value.kind() == minijinja::value::ValueKind::Bool {
            Some(Data::Bool(value.is_true()))
        } else if value.is_integer() {
            i128::try_from(value.clone()).ok().map(Data::Int)
        } else {
            f64::try_from(value.clone()).ok().map(Data::Float)
        };
        data.map(Value::of).ok_or_else(|| TemplateProblem::new(E_VALUE, offset, "this constant has no value"))
    }

    fn key_text(&mut self, key: &Value, offset: usize) -> Outcome<String> {
        match &key.data {
            Data::Text(text) => {
                let text = text.to_string();
                self.charge(text.len(), offset)?;
                Ok(text)
            }
            Data::Int(number) => Ok(number.to_string()),
            _ => Err(TemplateProblem::new(E_VALUE, offset, format!("{} cannot be a key", key.kind()))),
        }
    }

    fn attribute(owner: &Value, name: &str, expr: &Expr<'_>, offset: usize) -> Outcome<Value> {
        let missing = |names: Vec<String>, title: Option<String>| {
            let owner_path = match expr {
                Expr::GetAttr(access) => path(&access.expr),
                Expr::GetItem(access) => path(&access.expr),
                _ => None,
            };
            let title = title.or_else(|| owner_path.map(|path| format!("`{path}`")));
            let title = title.unwrap_or_else(|| "this value".to_owned());
            let help =
                did_you_mean(name, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
            Value::undefined(format!("{title} has no `{name}`"), help)
        };
        match &owner.data {
            // So that `tasks.x.outputs.a.b | default('')` works: the first thing that is missing is reported.
            Data::Undefined(_) => Ok(owner.clone()),
            Data::Map(map) => Ok(match map.get(name) {
                Some(value) => value.clone(),
                None => missing(map.keys().cloned().collect(), None),
            }),
            Data::Namespace(namespace) => {
                match namespace.lookup(name).map_err(|problem| Self::elsewhere(problem, offset))? {
                    Some(value) => Ok(value),
                    None if namespace.closed() => {
                        Self::defined(missing(namespace.names(), Some(format!("`{}`", namespace.title()))), offset)
                    }
                    None => Ok(missing(namespace.names(), Some(format!("`{}`", namespace.title())))),
                }
            }
            _ => Err(TemplateProblem::new(E_VALUE, offset, format!("{} has no attribute `{name}`", owner.kind()))),
        }
    }

    fn item(&mut self, owner: &Value, key: &Value, expr: &Expr<'_>, offset: usize) -> Outcome<Value> {
        match (&owner.data, &key.data) {
            (Data::Undefined(_), _) => Ok(owner.clone()),
            (Data::Map(_) | Data::Namespace(_), Data::Text(name)) => {
                let name = name.clone();
                // Which entry is chosen says something about the key, not about who wrote the entry.
                Self::attribute(owner, &name, expr, offset)
            }
            (Data::Map(_), Data::Int(number)) => Self::attribute(owner, &number.to_string(), expr, offset),
            (Data::List(items), Data::Int(index)) => {
                Ok(index_of(*index, items.len()).and_then(|index| items.get(index).cloned()).unwrap_or_else(|| {
                    Value::undefined(format!("the list has {} items, there is no item {index}", items.len()), None)
                }))
            }
            (Data::Text(text), Data::Int(index)) => {
                self.charge(text.len(), offset)?;
                let found = index_of(*index, text.chars().count()).and_then(|index| text.chars().nth(index));
                Ok(match found {
                    Some(c) => Value::text(c.to_string()).tainted(owner.origin),
                    None => Value::undefined(format!("the string has no character {index}"), None),
                })
            }
            _ => Err(TemplateProblem::new(
                E_VALUE,
                offset,
                format!("{} cannot be looked up in {}", key.kind(), owner.kind()),
            )),
        }
    }

    /// Adds a printed value to the text being captured, or hands it to the sink.
    fn emit(&mut self, value: Value, marks: Marks, offset: usize) -> Outcome<()> {
        let value = Self::defined(value, offset)?;
        let value = self.whole(value, offset)?;
        if matches!(value.data, Data::Macro(_)) {
            return Err(TemplateProblem::new(E_VALUE, offset, "a macro is no value").with_help("call it: name()"));
        }
        if matches!(value.data, Data::None) && !self.sink.prints_none() {
            return Err(TemplateProblem::new(E_VALUE, offset, "the value is none, which has no text in a script")
                .with_help("give it a default: {{ x | default('', true) }}"));
        }
        self.charge(value.size, offset)?;
        if self.captures.is_empty() {
            return self.sink.value(&value, marks, offset);
        }
        let text = value.printed().map_err(|problem| Self::elsewhere(problem, offset))?;
        let text = text.unwrap_or_else(|| "none".into());
        self.charge(text.len(), offset)?;
        if let Some(capture) = self.captures.last_mut() {
            capture.text.push_str(&text);
            capture.origin = capture.origin.join(value.origin);
        }
        Ok(())
    }

    fn literal(&mut self, text: &str, offset: usize) -> Outcome<()> {
        self.charge(text.len(), offset)?;
        match self.captures.last_mut() {
            Some(capture) => capture.text.push_str(text),
            None => self.sink.literal(text, offset)?,
        }
        Ok(())
    }

    /// Runs statements and gives their text as a value.
    fn captured(&mut self, offset: usize, run: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<Value> {
        self.captures.push(Capture { text: String::new(), origin: Origin::Trusted });
        let result = run(self);
        let capture = self.captures.pop();
        result?;
        match capture {
            Some(capture) => self.make_text(capture.text, capture.origin, offset),
            None => Err(TemplateProblem::new(E_VALUE, offset, "captured text was lost")),
        }
    }
}

/// Byte offset of an expression.
pub(crate) fn at(expr: &Expr<'_>) -> usize {
    // A filter's or an attribute's own span starts behind its operand.
    match expr {
        Expr::GetAttr(access) => at(&access.expr),
        Expr::GetItem(access) => at(&access.expr),
        Expr::BinOp(operation) => at(&operation.left),
        Expr::Filter(filter) => filter.expr.as_ref().map_or(filter.span().start_offset as usize, at),
        _ => expr.span().start_offset as usize,
    }
}

/// `a.b['c-d']` as text, when the expression is a plain path.
pub(crate) fn path(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(var) => Some(var.id.to_owned()),
        Expr::GetAttr(access) => Some(format!("{}.{}", path(&access.expr)?, access.name)),
        Expr::GetItem(access) => match &access.subscript_expr {
            Expr::Const(constant) => {
                Some(format!("{}['{}']", path(&access.expr)?, constant.value.as_str().unwrap_or("…")))
            }
            _ => None,
        },
        _ => None,
    }
}

fn index_of(index: i128, len: usize) -> Option<usize> {
    let index = if index < 0 { index + i128::try_from(len).ok()? } else { index };
    usize::try_from(index).ok()
}
