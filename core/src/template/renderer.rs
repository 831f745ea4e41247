//! Rendering templates.

use std::fmt;
use std::sync::Arc;

use minijinja::machinery::ast::{Expr, Stmt};
use serde_json::Value as Json;

use super::eval::{Evaluator, Marks, Sink};
use super::parse::{Flavour, parse};
use super::problem::E_LIMIT;
use super::scope::{Functions, NoFunctions, Scope};
use super::shell::{ScriptSink, ShellDialect};
use super::{Origin, TemplateProblem, Value};
use crate::protocol::ant::RenderedScript;

/// What one rendering may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps of evaluation.
    pub fuel: u64,
    /// Nesting of statements, expressions and macro calls.
    pub recursion: u32,
    /// Bytes of the rendered text.
    pub output: usize,
    /// Bytes of a template's source.
    pub source: usize,
    /// Bytes of values that are made or read while rendering.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 100_000, recursion: 100, output: 1 << 20, source: 1 << 20, memory: 32 << 20 }
    }
}

/// Renders templates. Cheap to clone; has no state of its own, and rendering has no side effects.
#[derive(Clone)]
pub struct Renderer {
    limits: Arc<Limits>,
    functions: Arc<dyn Functions>,
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new(Limits::default(), Arc::new(NoFunctions))
    }
}

impl Renderer {
    /// A renderer with limits and the functions that reach out.
    pub fn new(limits: Limits, functions: Arc<dyn Functions>) -> Self {
        Self { limits: Arc::new(limits), functions }
    }

    /// The same limits with other functions.
    #[must_use]
    pub fn with_functions(&self, functions: Arc<dyn Functions>) -> Self {
        Self { limits: self.limits.clone(), functions }
    }

    /// Renders a template to text.
    pub fn render_text(&self, source: &str, scope: &dyn Scope) -> Result<String, TemplateProblem> {
        Ok(self.text_with_origin(source, scope)?.0)
    }

    /// Renders a template to a value: one whole `{{ expression }}` keeps its type, anything else is text.
    pub fn render_value(&self, source: &str, scope: &dyn Scope) -> Result<Json, TemplateProblem> {
        let value = self.evaluate(source, scope)?;
        let json = value.to_json()?;
        if value.size > self.limits.output {
            return Err(self.too_long(None));
        }
        Ok(json)
    }

    /// Like [`Self::render_value`], bounded by the memory that rendering may take and not by the length of texts.
    pub fn render_large_value(&self, source: &str, scope: &dyn Scope) -> Result<Json, TemplateProblem> {
        let value = self.evaluate(source, scope)?;
        if value.size > self.limits.memory {
            return Err(TemplateProblem::new(
                E_LIMIT,
                None,
                format!("the value is larger than {} bytes", self.limits.memory),
            ));
        }
        value.to_json()
    }

    /// The same with other steps of evaluation.
    #[must_use]
    pub fn with_fuel(&self, fuel: u64) -> Self {
        Self { limits: Arc::new(Limits { fuel, ..(*self.limits).clone() }), functions: self.functions.clone() }
    }

    /// Like [`Self::render_value`], with the origin of every part.
    pub fn evaluate(&self, source: &str, scope: &dyn Scope) -> Result<Value, TemplateProblem> {
        // No braces, no template: most leaves are plain.
        if !source.contains('{') {
            return Ok(Value::text(source));
        }
        let tree = parse(source, Flavour::Text, self.limits.source)?;
        if let Some(expression) = whole_expression(&tree) {
            let mut sink = TextSink::new(self.limits.output);
            let mut evaluator = Evaluator::new(scope, self.functions.as_ref(), &self.limits, &mut sink);
            let value = evaluator.whole_value_of(expression)?;
            return Ok(value);
        }
        let (text, origin) = self.run_text(&tree, scope)?;
        Ok(Value::text(text).tainted(origin))
    }

    /// Renders the entries of a POSIX-shell script: every value is bound to a shell variable.
    pub fn render_script(
        &self,
        entries: &[&str],
        dialect: ShellDialect,
        scope: &dyn Scope,
    ) -> Result<RenderedScript, TemplateProblem> {
        let mut sink = ScriptSink::new(dialect, self.limits.output);
        for (number, entry) in entries.iter().enumerate() {
            let render = |sink: &mut ScriptSink| {
                let tree = parse(entry, Flavour::Script, self.limits.source)?;
                Evaluator::new(scope, self.functions.as_ref(), &self.limits, sink).template(&tree)?;
                sink.end_entry(entry.len())
            };
            render(&mut sink).map_err(|problem| problem.in_entry(number))?;
        }
        Ok(sink.finish())
    }

    /// Renders the entries of a script for a program that is no POSIX shell: values from outside are refused.
    pub fn render_interpreter_source(&self, entries: &[&str], scope: &dyn Scope) -> Result<String, TemplateProblem> {
        let mut sink = TextSink::new(self.limits.output);
        sink.refuses_outside = true;
        for (number, entry) in entries.iter().enumerate() {
            let render = |sink: &mut TextSink| {
                let tree = parse(entry, Flavour::Script, self.limits.source)?;
                Evaluator::new(scope, self.functions.as_ref(), &self.limits, sink).template(&tree)
            };
            render(&mut sink).map_err(|problem| problem.in_entry(number))?;
            if !sink.text.ends_with('\n') {
                sink.text.push('\n');
            }
        }
        Ok(sink.text)
    }

    fn text_with_origin(&self, source: &str, scope: &dyn Scope) -> Result<(String, Origin), TemplateProblem> {
        if !source.contains('{') {
            return if source.len() > self.limits.output {
                Err(self.too_long(None))
            } else {
                Ok((source.to_owned(), Origin::Trusted))
            };
        }
        let tree = parse(source, Flavour::Text, self.limits.source)?;
        self.run_text(&tree, scope)
    }

    fn run_text(&self, tree: &Stmt<'_>, scope: &dyn Scope) -> Result<(String, Origin), TemplateProblem> {
        let mut sink = TextSink::new(self.limits.output);
        Evaluator::new(scope, self.functions.as_ref(), &self.limits, &mut sink).template(tree)?;
        Ok((sink.text, sink.origin))
    }

    fn too_long(&self, offset: Option<usize>) -> TemplateProblem {
        TemplateProblem::new(E_LIMIT, offset, format!("the rendered text is longer than {} bytes", self.limits.output))
    }
}

/// The expression of a template that is nothing else.
pub(crate) fn whole_expression<'t, 's>(tree: &'t Stmt<'s>) -> Option<&'t Expr<'s>> {
    let Stmt::Template(template) = tree else { return None };
    match template.children.as_slice() {
        [Stmt::EmitExpr(emit)] => Some(super::eval::strip_marks(&emit.expr).0),
        _ => None,
    }
}

/// Plain text.
struct TextSink {
    text: String,
    origin: Origin,
    limit: usize,
    refuses_outside: bool,
}

impl TextSink {
    fn new(limit: usize) -> Self {
        Self { text: String::new(), origin: Origin::Trusted, limit, refuses_outside: false }
    }

    fn push(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        if self.text.len() + text.len() > self.limit {
            return Err(TemplateProblem::limit(
                offset,
                format!("the rendered text is longer than {} bytes", self.limit),
            ));
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl Sink for TextSink {
    fn literal(&mut self, text: &str, offset: usize) -> Result<(), TemplateProblem> {
        self.push(text, offset)
    }

    fn value(&mut self, value: &Value, _: Marks, offset: usize) -> Result<(), TemplateProblem> {
        if self.refuses_outside && value.origin() == Origin::Outside {
            return Err(TemplateProblem::outside_in_source(offset));
        }
        self.origin = self.origin.join(value.origin());
        let text = value.printed()?.unwrap_or_else(|| "none".into());
        self.push(&text, offset)
    }

    fn prints_none(&self) -> bool {
        !self.refuses_outside
    }
}
