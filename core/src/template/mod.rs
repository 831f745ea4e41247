//! The template language, and contextual shell quoting.
//!
//! The language is minijinja's: its parser makes the syntax tree. The evaluator is ours (`eval`), because two
//! promises need it: one budget bounds time *and* memory, and every value knows whether it came from outside.
//!
//! * [`Renderer`]: text, values, scripts
//! * [`Scope`], [`Variables`]: where names come from
//! * [`inspect`], [`check_script`]: what can be said about a template without values, at upload
//! * `shell`: the lexer that follows a script, and what a value becomes in each place

mod eval;
mod go_template;
mod inspect;
mod parse;
mod problem;
mod renderer;
mod scope;
mod shell;
mod truth;
mod value;
mod variables;

pub use go_template::{GoTemplate, go_template_hint};
pub use inspect::{Inspection, Reference, inspect, inspect_script};
pub use problem::TemplateProblem;
pub use renderer::{Limits, Renderer};
pub use scope::{Functions, NoFunctions, Scope};
pub use shell::{ScriptWarning, ShellDialect, check_script};
pub use truth::is_truthy;
pub use value::{Namespace, Origin, Value};
pub use variables::{BUILTINS, Builtins, ConfigValues, TaskValues, TaskView, Variables, VariablesBuilder};

#[cfg(test)]
mod tests;
