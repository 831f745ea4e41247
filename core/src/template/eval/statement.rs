//! Statements: output, conditions, loops, assignments, macros.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::machinery::ast::{Expr, ForLoop, Stmt};

use super::{Evaluator, MacroDefinition, Marks, Outcome, at};
use crate::template::problem::{E_UNSUPPORTED, E_VALUE};
use crate::template::value::Data;
use crate::template::{TemplateProblem, Value};

impl<'t> Evaluator<'t, '_> {
    fn statements(&mut self, statements: &'t [Stmt<'t>]) -> Outcome<()> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    pub(super) fn statement(&mut self, statement: &'t Stmt<'t>) -> Outcome<()> {
        self.step(0)?;
        match statement {
            Stmt::EmitRaw(raw) => self.literal(raw.raw, raw.span().start_offset as usize),
            Stmt::EmitExpr(emit) => {
                let offset = emit.span().start_offset as usize;
                let (expr, marks) = strip_marks(&emit.expr);
                let value = self.expression(expr)?;
                self.emit(value, marks, offset)
            }
            other => self.deeper(0, |this| this.compound(other)),
        }
    }

    fn compound(&mut self, statement: &'t Stmt<'t>) -> Outcome<()> {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) | Stmt::EmitExpr(_) => self.statement(statement),
            Stmt::IfCond(condition) => {
                if self.value_of(&condition.expr)?.is_true() {
                    self.statements(&condition.true_body)
                } else {
                    self.statements(&condition.false_body)
                }
            }
            Stmt::ForLoop(each) => self.for_loop(each, each.span().start_offset as usize),
            Stmt::WithBlock(with) => {
                let mut frame = HashMap::new();
                for (target, expr) in &with.assignments {
                    let value = self.value_of(expr)?;
                    self.bind(target, value, &mut frame)?;
                }
                self.in_frame(frame, |this| this.statements(&with.body))
            }
            Stmt::Set(set) => {
                let value = self.value_of(&set.expr)?;
                self.assign(&set.target, value)
            }
            Stmt::SetBlock(set) => {
                let offset = set.span().start_offset as usize;
                let mut value = self.captured(offset, |this| this.statements(&set.body))?;
                if let Some(filter) = &set.filter {
                    value = self.apply_to_block(filter, value)?;
                }
                self.assign(&set.target, value)
            }
            Stmt::FilterBlock(block) => {
                let offset = block.span().start_offset as usize;
                let text = self.captured(offset, |this| this.statements(&block.body))?;
                let value = self.apply_to_block(&block.filter, text)?;
                self.emit(value, Marks::default(), offset)
            }
            Stmt::Macro(declaration) => {
                let value = self.declare(MacroDefinition { declaration, enclosing: None });
                if let Some(frame) = self.frames.last_mut() {
                    frame.insert(declaration.name.to_owned(), value);
                }
                Ok(())
            }
            Stmt::CallBlock(block) => {
                let offset = block.span().start_offset as usize;
                let frames: usize = self.frames.iter().map(HashMap::len).sum();
                self.charge(frames * 64, offset)?;
                let enclosing = Some(self.frames.clone());
                let caller = self.declare(MacroDefinition { declaration: &block.macro_decl, enclosing });
                let value = self.call_with_caller(&block.call, Some(caller), offset)?;
                self.emit(value, Marks::default(), offset)
            }
            Stmt::Do(statement) => {
                self.call(&statement.call, statement.span().start_offset as usize)?;
                Ok(())
            }
            Stmt::AutoEscape(_) => Err(unsupported(statement, "`autoescape` has no meaning here")),
            Stmt::Block(_) | Stmt::Extends(_) => Err(unsupported(statement, "templates cannot extend one another")),
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Include(_) => {
                Err(unsupported(statement, "templates cannot include files"))
            }
        }
    }

    fn declare(&mut self, definition: MacroDefinition<'t>) -> Value {
        self.macros.push(definition);
        Value::of(Data::Macro(self.macros.len() - 1))
    }

    /// Runs a macro with its arguments bound in a frame of their own.
    pub(super) fn run_macro(
        &mut self,
        index: usize,
        mut frame: HashMap<String, Value>,
        offset: usize,
    ) -> Outcome<Value> {
        let Some(definition) = self.macros.get(index).cloned() else {
            return Err(TemplateProblem::new(E_VALUE, offset, "this macro does not exist"));
        };
        let mut frames = definition.enclosing.unwrap_or_else(|| self.frames.first().cloned().into_iter().collect());
        self.charge(frames.iter().map(|frame| frame.len() * 64 + 64).sum(), offset)?;
        let declaration = definition.declaration;
        let optional = declaration.args.len() - declaration.defaults.len().min(declaration.args.len());
        for (position, argument) in declaration.args.iter().enumerate() {
            let Expr::Var(name) = argument else { continue };
            if frame.contains_key(name.id) {
                continue;
            }
            let value = match position.checked_sub(optional).and_then(|at| declaration.defaults.get(at)) {
                Some(default) => self.value_of(default)?,
                None => Value::undefined(format!("the macro's argument `{}` was not given", name.id), None),
            };
            frame.insert(name.id.to_owned(), value);
        }
        frames.push(frame);
        let outer = std::mem::replace(&mut self.frames, frames);
        let result = self.deeper(offset, |this| this.captured(offset, |this| this.statements(&declaration.body)));
        self.frames = outer;
        result
    }

    pub(super) fn macro_arguments(&self, index: usize) -> Vec<&'t str> {
        let arguments = self.macros.get(index).map(|definition| definition.declaration.args.as_slice());
        let names = arguments.unwrap_or_default().iter().filter_map(|argument| match argument {
            Expr::Var(name) => Some(name.id),
            _ => None,
        });
        names.collect()
    }

    fn in_frame(&mut self, frame: HashMap<String, Value>, run: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<()> {
        self.frames.push(frame);
        let result = run(self);
        self.frames.pop();
        result
    }

    fn apply_to_block(&mut self, filter: &'t Expr<'t>, text: Value) -> Outcome<Value> {
        match filter {
            Expr::Filter(filter) => {
                let input = match &filter.expr {
                    Some(inner) => self.apply_to_block(inner, text)?,
                    None => text,
                };
                self.filter(filter.name, input, &filter.args, filter.span().start_offset as usize)
            }
            other => Err(TemplateProblem::new(E_VALUE, at(other), "a block can only be given to a filter")),
        }
    }

    fn for_loop(&mut self, each: &'t ForLoop<'t>, offset: usize) -> Outcome<()> {
        if each.recursive {
            return Err(TemplateProblem::new(E_UNSUPPORTED, offset, "recursive loops are not supported"));
        }
        let iterable = self.value_of(&each.iter)?;
        let mut items = self.items_of(&iterable, offset)?;
        if let Some(condition) = &each.filter_expr {
            let mut kept = Vec::new();
            for item in items {
                let mut frame = HashMap::new();
                self.bind(&each.target, item.clone(), &mut frame)?;
                self.frames.push(frame);
                let keep = self.value_of(condition);
                self.frames.pop();
                if keep?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.in_frame(HashMap::new(), |this| this.statements(&each.else_body));
        }
        let length = items.len();
        for (index, item) in items.into_iter().enumerate() {
            self.step(offset)?;
            let mut frame = HashMap::new();
            self.bind(&each.target, item, &mut frame)?;
            let number = |n: usize| Value::of(Data::Int(n as i128));
            let about = [
                ("index", number(index + 1)),
                ("index0", number(index)),
                ("revindex", number(length - index)),
                ("revindex0", number(length - index - 1)),
                ("first", Value::from(index == 0)),
                ("last", Value::from(index + 1 == length)),
                ("length", number(length)),
            ];
            let about = about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            frame.insert("loop".to_owned(), self.make(Data::Map(Arc::new(about)), offset)?);
            self.in_frame(frame, |this| this.statements(&each.body))?;
        }
        Ok(())
    }

    /// The items that a loop or a filter goes over: of a mapping its keys, of a string its characters.
    pub(super) fn items_of(&mut self, value: &Value, offset: usize) -> Outcome<Vec<Value>> {
        let value = self.whole(value.clone(), offset)?;
        match &value.data {
            Data::List(items) => {
                self.charge(items.len() * 64, offset)?;
                Ok(items.as_ref().clone())
            }
            Data::Map(map) => {
                self.charge(map.len() * 64 + value.size.min(map.keys().map(String::len).sum()), offset)?;
                Ok(map.keys().map(|key| Value::text(key.as_str()).tainted(value.origin)).collect())
            }
            Data::Text(text) => {
                self.charge(text.len() * 64, offset)?;
                Ok(text.chars().map(|c| Value::text(c.to_string()).tainted(value.origin)).collect())
            }
            _ => Err(TemplateProblem::new(E_VALUE, offset, format!("{} has no items to go over", value.kind()))),
        }
    }

    fn assign(&mut self, target: &'t Expr<'t>, value: Value) -> Outcome<()> {
        let mut bound = HashMap::new();
        self.bind(target, value, &mut bound)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.extend(bound);
        }
        Ok(())
    }

    fn bind(&mut self, target: &'t Expr<'t>, value: Value, frame: &mut HashMap<String, Value>) -> Outcome<()> {
        match target {
            Expr::Var(name) => {
                frame.insert(name.id.to_owned(), value);
                Ok(())
            }
            Expr::List(_) | Expr::Tuple(_) => {
                let names = match target {
                    Expr::List(list) => &list.items,
                    Expr::Tuple(tuple) => &tuple.items,
                    _ => return Ok(()),
                };
                let items = self.items_of(&value, at(target))?;
                if items.len() != names.len() {
                    return Err(TemplateProblem::new(
                        E_VALUE,
                        at(target),
                        format!("{} names for {} items", names.len(), items.len()),
                    ));
                }
                names.iter().zip(items).try_for_each(|(name, item)| self.bind(name, item, frame))
            }
            other => Err(TemplateProblem::new(
                E_UNSUPPORTED,
                at(other),
                "only plain names can be assigned to; there is no namespace()",
            )),
        }
    }
}

/// Takes `| raw` and `| option` off the end of a printed expression.
pub(crate) fn strip_marks<'e, 't>(mut expr: &'e Expr<'t>) -> (&'e Expr<'t>, Marks) {
    let mut marks = Marks::default();
    while let Expr::Filter(filter) = expr {
        match (filter.name, &filter.expr) {
            ("raw", Some(inner)) => {
                marks.raw = true;
                expr = inner;
            }
            ("option", Some(inner)) => {
                marks.option = true;
                expr = inner;
            }
            _ => break,
        }
    }
    (expr, marks)
}

fn unsupported(statement: &Stmt<'_>, message: &str) -> TemplateProblem {
    let span = match statement {
        Stmt::AutoEscape(node) => node.span(),
        Stmt::Block(node) => node.span(),
        Stmt::Extends(node) => node.span(),
        Stmt::Import(node) => node.span(),
        Stmt::FromImport(node) => node.span(),
        Stmt::Include(node) => node.span(),
        _ => return TemplateProblem::new(E_UNSUPPORTED, None, message),
    };
    TemplateProblem::new(E_UNSUPPORTED, span.start_offset as usize, message)
}
