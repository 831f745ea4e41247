//! What a template refers to, without rendering it.

use std::collections::HashSet;

use minijinja::machinery::ast::{Call, CallArg, Expr, Macro, Stmt};

use super::eval::{FILTERS, FUNCTIONS, TESTS, at, path};
use super::parse::{Flavour, parse};
use super::problem::{E_UNKNOWN, E_UNSUPPORTED, did_you_mean};
use super::renderer::whole_expression;
use super::{Limits, TemplateProblem};

/// What a template refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Names from outside the template, in order of appearance.
    pub references: Vec<Reference>,
    /// The template is one whole `{{ expression }}`: its value keeps its type.
    pub whole_expression: bool,
    /// There is no template syntax in it at all.
    pub plain: bool,
}

/// One use of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name and the constant attributes behind it: `tasks['unit-test'].state` is `[tasks, unit-test, state]`.
    pub path: Vec<String>,
    /// Byte offset in the source.
    pub offset: usize,
    /// Behind `default`, `is defined` or `is undefined`: the value may be missing.
    pub guarded: bool,
    /// The path goes on with something that is computed (`tasks[name]`).
    pub open: bool,
    /// It is `{{ path }}`: its value is printed as it is, and nothing else is done with it.
    pub printed: bool,
}

/// Checks a template's syntax, filters, functions and tests, and lists what it refers to.
pub fn inspect(source: &str) -> Result<Inspection, TemplateProblem> {
    inspect_as(source, Flavour::Text)
}

/// Like [`inspect`] for an entry of a script, where comments are `{## … ##}`.
pub fn inspect_script(source: &str) -> Result<Inspection, TemplateProblem> {
    inspect_as(source, Flavour::Script)
}

fn inspect_as(source: &str, flavour: Flavour) -> Result<Inspection, TemplateProblem> {
    if !source.contains('{') {
        return Ok(Inspection { plain: true, ..Inspection::default() });
    }
    let tree = parse(source, flavour, Limits::default().source)?;
    let mut walker = Walker {
        found: Vec::new(),
        locals: vec![HashSet::new()],
        guarded: Vec::new(),
        depth: 0,
        captured: 0,
        printing: false,
    };
    walker.statement(&tree)?;
    Ok(Inspection { references: walker.found, whole_expression: whole_expression(&tree).is_some(), plain: false })
}

struct Walker {
    found: Vec<Reference>,
    locals: Vec<HashSet<String>>,
    /// Paths that an enclosing `{% if x is defined %}` has asked about.
    guarded: Vec<String>,
    depth: u32,
    /// How many blocks around take the text that is printed as a value.
    captured: u32,
    /// The next reference is printed as it is.
    printing: bool,
}

type Outcome = Result<(), TemplateProblem>;

impl Walker {
    fn statements(&mut self, statements: &[Stmt<'_>]) -> Outcome {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn scoped(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.locals.push(HashSet::new());
        let result = run(self);
        self.locals.pop();
        result
    }

    fn captured(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.captured += 1;
        let result = run(self);
        self.captured -= 1;
        result
    }

    fn statement(&mut self, statement: &Stmt<'_>) -> Outcome {
        self.deeper(|this| this.statement_unguarded(statement))
    }

    fn deeper(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        if self.depth > Limits::default().recursion * 3 {
            return Err(TemplateProblem::limit(None, "the template nests too deep"));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn statement_unguarded(&mut self, statement: &Stmt<'_>) -> Outcome {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(emit) => {
                let bare = matches!(emit.expr, Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_));
                self.printing = bare && self.captured == 0;
                self.expression(&emit.expr, false)
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr, false)?;
                let before = self.guarded.len();
                guards(&condition.expr, &mut self.guarded);
                self.statements(&condition.true_body)?;
                self.guarded.truncate(before);
                self.statements(&condition.false_body)
            }
            Stmt::ForLoop(each) => {
                self.expression(&each.iter, false)?;
                self.scoped(|this| {
                    this.declare(&each.target);
                    this.declare_name("loop");
                    if let Some(condition) = &each.filter_expr {
                        this.expression(condition, false)?;
                    }
                    this.statements(&each.body)
                })?;
                self.statements(&each.else_body)
            }
            Stmt::WithBlock(with) => {
                for (_, expr) in &with.assignments {
                    self.expression(expr, false)?;
                }
                self.scoped(|this| {
                    with.assignments.iter().for_each(|(target, _)| this.declare(target));
                    this.statements(&with.body)
                })
            }
            Stmt::Set(set) => {
                self.expression(&set.expr, false)?;
                self.declare(&set.target);
                Ok(())
            }
            Stmt::SetBlock(set) => {
                self.captured(|this| this.statements(&set.body))?;
                if let Some(filter) = &set.filter {
                    self.expression(filter, false)?;
                }
                self.declare(&set.target);
                Ok(())
            }
            Stmt::FilterBlock(block) => {
                self.captured(|this| this.statements(&block.body))?;
                self.expression(&block.filter, false)
            }
            Stmt::Macro(declaration) => {
                self.declare_name(declaration.name);
                self.macro_body(declaration)
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call)?;
                self.macro_body(&block.macro_decl)
            }
            Stmt::Do(statement) => self.call(&statement.call),
            Stmt::AutoEscape(_)
            | Stmt::Block(_)
            | Stmt::Extends(_)
            | Stmt::Import(_)
            | Stmt::FromImport(_)
            | Stmt::Include(_) => Err(TemplateProblem::new(
                E_UNSUPPORTED,
                None,
                "templates cannot include or extend one another, and have no autoescape",
            )),
        }
    }

    fn macro_body(&mut self, declaration: &Macro<'_>) -> Outcome {
        for default in &declaration.defaults {
            self.expression(default, false)?;
        }
        self.scoped(|this| {
            declaration.args.iter().for_each(|argument| this.declare(argument));
            this.declare_name("caller");
            this.captured(|this| this.statements(&declaration.body))
        })
    }

    fn declare(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(name) => self.declare_name(name.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.declare(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.declare(item)),
            _ => {}
        }
    }

    fn declare_name(&mut self, name: &str) {
        if let Some(frame) = self.locals.last_mut() {
            frame.insert(name.to_owned());
        }
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|frame| frame.contains(name))
    }

    fn expression(&mut self, expr: &Expr<'_>, guarded: bool) -> Outcome {
        self.deeper(|this| this.expression_unguarded(expr, guarded))
    }

    fn expression_unguarded(&mut self, expr: &Expr<'_>, guarded: bool) -> Outcome {
        match expr {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.reference(expr, guarded),
            Expr::Const(_) => Ok(()),
            Expr::Slice(slice) => {
                self.expression(&slice.expr, guarded)?;
                [&slice.start, &slice.stop, &slice.step]
                    .into_iter()
                    .flatten()
                    .try_for_each(|bound| self.expression(bound, false))
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr, guarded),
            Expr::BinOp(operation) => {
                let before = self.guarded.len();
                self.expression(&operation.left, guarded)?;
                // `x is defined and x`.
                guards(&operation.left, &mut self.guarded);
                let result = self.expression(&operation.right, guarded);
                self.guarded.truncate(before);
                result
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr, guarded)?;
                compare.ops.iter().try_for_each(|operand| self.expression(&operand.expr, guarded))
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr, false)?;
                let before = self.guarded.len();
                guards(&choice.test_expr, &mut self.guarded);
                self.expression(&choice.true_expr, guarded)?;
                self.guarded.truncate(before);
                choice.false_expr.iter().try_for_each(|otherwise| self.expression(otherwise, guarded))
            }
            Expr::Filter(filter) => {
                known("filter", filter.name, FILTERS, filter.span().start_offset as usize)?;
                let guards = matches!(filter.name, "default" | "d");
                if let Some(input) = &filter.expr {
                    self.expression(input, guarded || guards)?;
                }
                self.arguments(&filter.args)
            }
            Expr::Test(test) => {
                if !matches!(test.name, "==" | "!=" | "<" | "<=" | ">" | ">=") {
                    known("test", test.name, TESTS, test.span().start_offset as usize)?;
                }
                self.expression(&test.expr, guarded || matches!(test.name, "defined" | "undefined"))?;
                self.arguments(&test.args)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().try_for_each(|item| self.expression(item, guarded)),
            Expr::Tuple(tuple) => tuple.items.iter().try_for_each(|item| self.expression(item, guarded)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).try_for_each(|item| self.expression(item, guarded)),
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Outcome {
        match &call.expr {
            Expr::Var(name) if self.is_local(name.id) => {}
            Expr::Var(name) => known("function", name.id, FUNCTIONS, at(&call.expr))?,
            Expr::GetAttr(method) => self.expression(&method.expr, false)?,
            other => self.expression(other, false)?,
        }
        self.arguments(&call.args)
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) -> Outcome {
        arguments.iter().try_for_each(|argument| match argument {
            CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => {
                self.expression(expr, false)
            }
        })
    }

    fn reference(&mut self, expr: &Expr<'_>, guarded: bool) -> Outcome {
        let printed = std::mem::take(&mut self.printing);
        let mut parts = Vec::new();
        let mut open = false;
        let mut node = expr;
        loop {
            match node {
                Expr::Var(name) => {
                    parts.push(name.id.to_owned());
                    break;
                }
                Expr::GetAttr(access) => {
                    parts.push(access.name.to_owned());
                    node = &access.expr;
                }
                Expr::GetItem(access) => {
                    match &access.subscript_expr {
                        Expr::Const(constant) => parts.push(constant.value.to_string()),
                        computed => {
                            self.expression(computed, false)?;
                            parts.clear();
                            open = true;
                        }
                    }
                    node = &access.expr;
                }
                // An attribute of something computed: `(a or b).c`.
                other => return self.expression(other, guarded),
            }
        }
        parts.reverse();
        if parts.first().is_some_and(|name| self.is_local(name)) {
            return Ok(());
        }
        let guarded = guarded || path(expr).is_some_and(|path| self.guarded.contains(&path));
        self.found.push(Reference { path: parts, offset: at(expr), guarded, open, printed });
        Ok(())
    }
}

/// The paths that a condition asks about with `is defined`.
fn guards(condition: &Expr<'_>, found: &mut Vec<String>) {
    match condition {
        Expr::Test(test) if test.name == "defined" => found.extend(path(&test.expr)),
        Expr::BinOp(operation) => {
            guards(&operation.left, found);
            guards(&operation.right, found);
        }
        _ => {}
    }
}

fn known(what: &str, name: &str, names: &[&str], offset: usize) -> Outcome {
    if names.contains(&name) {
        return Ok(());
    }
    let problem = TemplateProblem::new(E_UNKNOWN, offset, format!("there is no {what} `{name}`"));
    Err(match did_you_mean(name, names.iter().copied()) {
        Some(meant) => problem.with_help(format!("did you mean `{meant}`?")),
        None => problem.with_help(format!("there are {}", names.join(", "))),
    })
}
