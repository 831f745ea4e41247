//! Calls of functions, methods and macros.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::machinery::ast::{Call, CallArg, Expr};

use super::{Evaluator, FUNCTIONS, Outcome, at};
use crate::template::problem::{E_FUNCTION, E_UNKNOWN, E_VALUE, did_you_mean};
use crate::template::value::{Data, Origin};
use crate::template::{TemplateProblem, Value};

/// Evaluated arguments of a call.
pub(super) struct Arguments {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
    pub(super) offset: usize,
}

impl Arguments {
    /// The argument at a position, or by its name.
    pub(super) fn get(&self, position: usize, name: &str) -> Option<&Value> {
        self.positional.get(position).or_else(|| self.named.iter().find(|(key, _)| key == name).map(|(_, value)| value))
    }

    pub(super) fn text(&self, position: usize, name: &str) -> Outcome<Option<Arc<str>>> {
        match self.get(position, name).map(|value| &value.data) {
            None | Some(Data::None) => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text.clone())),
            Some(_) => {
                Err(TemplateProblem::new(E_VALUE, self.offset, format!("the argument `{name}` must be a string")))
            }
        }
    }

    pub(super) fn int(&self, position: usize, name: &str) -> Outcome<Option<i64>> {
        match self.get(position, name).map(|value| &value.data) {
            None | Some(Data::None) => Ok(None),
            Some(Data::Int(number)) => i64::try_from(*number)
                .map(Some)
                .map_err(|_| TemplateProblem::new(E_VALUE, self.offset, format!("`{number}` is too large"))),
            Some(_) => {
                Err(TemplateProblem::new(E_VALUE, self.offset, format!("the argument `{name}` must be an integer")))
            }
        }
    }

    pub(super) fn flag(&self, position: usize, name: &str) -> bool {
        self.get(position, name).is_some_and(Value::is_true)
    }

    pub(super) fn origin(&self) -> Origin {
        let named = self.named.iter().map(|(_, value)| value);
        self.positional.iter().chain(named).fold(Origin::Trusted, |origin, value| origin.join(value.origin))
    }

    /// Refuses arguments that nobody reads.
    pub(super) fn allow(&self, what: &str, names: &[&str]) -> Outcome<()> {
        if self.positional.len() > names.len() {
            return Err(TemplateProblem::new(
                E_VALUE,
                self.offset,
                format!("`{what}` takes at most {} arguments", names.len()),
            ));
        }
        for (name, _) in &self.named {
            if !names.contains(&name.as_str()) {
                let problem = TemplateProblem::new(E_VALUE, self.offset, format!("`{what}` has no argument `{name}`"));
                return Err(match did_you_mean(name, names.iter().copied()) {
                    Some(meant) => problem.with_help(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
        }
        Ok(())
    }
}

impl<'t> Evaluator<'t, '_> {
    pub(super) fn arguments(&mut self, arguments: &'t [CallArg<'t>], offset: usize) -> Outcome<Arguments> {
        let mut result = Arguments { positional: Vec::new(), named: Vec::new(), offset };
        for argument in arguments {
            match argument {
                CallArg::Pos(expr) => result.positional.push(self.value_of(expr)?),
                CallArg::Kwarg(name, expr) => {
                    let value = self.value_of(expr)?;
                    result.named.push(((*name).to_owned(), value));
                }
                CallArg::PosSplat(expr) => {
                    let list = self.value_of(expr)?;
                    result.positional.extend(self.items_of(&list, at(expr))?);
                }
                CallArg::KwargSplat(expr) => {
                    let map = self.value_of(expr)?;
                    let Data::Map(map) = self.whole(map, at(expr))?.data else {
                        return Err(TemplateProblem::new(E_VALUE, at(expr), "`**` needs a mapping"));
                    };
                    result.named.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
            }
        }
        Ok(result)
    }

    pub(super) fn call(&mut self, call: &'t Call<'t>, offset: usize) -> Outcome<Value> {
        self.call_with_caller(call, None, offset)
    }

    pub(super) fn call_with_caller(
        &mut self,
        call: &'t Call<'t>,
        caller: Option<Value>,
        offset: usize,
    ) -> Outcome<Value> {
        if let Expr::GetAttr(method) = &call.expr {
            let owner = self.value_of(&method.expr)?;
            let arguments = self.arguments(&call.args, offset)?;
            return self.method(owner, method.name, &arguments, offset);
        }
        if let Expr::Var(name) = &call.expr {
            let found = self.lookup(name.id, offset)?;
            if found.is_undefined() {
                let arguments = self.arguments(&call.args, offset)?;
                return self.function(name.id, &arguments, offset);
            }
        }
        let callee = self.value_of(&call.expr)?;
        let Data::Macro(index) = callee.data else {
            return Err(TemplateProblem::new(E_VALUE, offset, format!("{} cannot be called", callee.kind())));
        };
        let arguments = self.arguments(&call.args, offset)?;
        let names = self.macro_arguments(index);
        arguments.allow("macro", &names)?;
        let mut frame: HashMap<String, Value> =
            names.iter().zip(&arguments.positional).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        frame.extend(arguments.named);
        if let Some(caller) = caller {
            frame.insert("caller".to_owned(), caller);
        }
        self.run_macro(index, frame, offset)
    }

    fn method(&mut self, owner: Value, name: &str, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        let owner = self.whole(owner, offset)?;
        let Data::Map(map) = &owner.data else {
            return Err(TemplateProblem::new(E_UNKNOWN, offset, format!("{} has no method `{name}`", owner.kind()))
                .with_help("use a filter: value | upper"));
        };
        self.charge(map.len() * 64, offset)?;
        let keys = |this: &Self| {
            let _ = this;
            map.keys().map(|key| Value::text(key.as_str()).tainted(owner.origin)).collect::<Vec<_>>()
        };
        let items = match name {
            "keys" => keys(self),
            "values" => map.values().cloned().collect(),
            "items" => keys(self)
                .into_iter()
                .zip(map.values())
                .map(|(key, value)| Value::list(vec![key, value.clone()]))
                .collect(),
            "get" => {
                arguments.allow("get", &["key", "default"])?;
                let key = arguments.text(0, "key")?.unwrap_or_else(|| "".into());
                let default = arguments.get(1, "default").cloned().unwrap_or_else(|| Value::of(Data::None));
                return Ok(map.get(key.as_ref()).cloned().unwrap_or(default));
            }
            _ => {
                return Err(TemplateProblem::new(E_UNKNOWN, offset, format!("a mapping has no method `{name}`"))
                    .with_help("there are items(), keys(), values() and get(key, default)"));
            }
        };
        arguments.allow(name, &[])?;
        self.make(Data::List(Arc::new(items)), offset)
    }

    fn function(&mut self, name: &str, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        let failed = |why: String| TemplateProblem::new(E_FUNCTION, offset, format!("{name}() failed: {why}"));
        match name {
            "count_jobs" | "CountByJobTypeAndState" => {
                let texts = arguments
                    .positional
                    .iter()
                    .map(|value| {
                        value.as_text().map(str::to_owned).ok_or_else(|| {
                            TemplateProblem::new(
                                E_VALUE,
                                offset,
                                format!("{name}() takes strings, not {}", value.kind()),
                            )
                        })
                    })
                    .collect::<Outcome<Vec<_>>>()?;
                arguments.allow(name, &["type"; 32])?;
                let Some((job_type, states)) = texts.split_first() else {
                    return Err(TemplateProblem::new(E_VALUE, offset, format!("{name}() needs a job type"))
                        .with_help("write count_jobs('build', 'RUNNING')"));
                };
                self.functions.count_jobs(job_type, states).map(Value::from).map_err(failed)
            }
            "now" => {
                arguments.allow(name, &[])?;
                self.functions.now().map(Value::from).map_err(failed)
            }
            "env" => {
                arguments.allow(name, &["name"])?;
                let variable = arguments
                    .text(0, "name")?
                    .ok_or_else(|| TemplateProblem::new(E_VALUE, offset, "env() needs a name"))?;
                match self.functions.env(&variable).map_err(failed)? {
                    Some(value) => self.make_text(value, arguments.origin(), offset),
                    None => Ok(Value::undefined(format!("the environment variable {variable} is not set"), None)),
                }
            }
            "range" => self.range(arguments, offset),
            "dict" => {
                arguments
                    .allow(name, &[])
                    .or_else(|problem| if arguments.positional.is_empty() { Ok(()) } else { Err(problem) })?;
                let map = arguments.named.iter().cloned().collect();
                self.make(Data::Map(Arc::new(map)), offset)
            }
            _ => {
                let problem = TemplateProblem::new(E_UNKNOWN, offset, format!("there is no function `{name}`"));
                Err(match did_you_mean(name, FUNCTIONS.iter().copied()) {
                    Some(meant) => problem.with_help(format!("did you mean `{meant}`?")),
                    None => problem.with_help(format!("there are {}", FUNCTIONS.join(", "))),
                })
            }
        }
    }

    fn range(&mut self, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        arguments.allow("range", &["start", "stop", "step"])?;
        let first = arguments.int(0, "start")?.unwrap_or(0);
        let (start, stop) = match arguments.int(1, "stop")? {
            Some(stop) => (first, stop),
            None => (0, first),
        };
        let step = arguments.int(2, "step")?.unwrap_or(1);
        if step == 0 {
            return Err(TemplateProblem::new(E_VALUE, offset, "a range's step cannot be 0"));
        }
        let distance =
            if step > 0 { i128::from(stop) - i128::from(start) } else { i128::from(start) - i128::from(stop) };
        let width = i128::from(step).abs();
        let count = usize::try_from(((distance + width - 1) / width).max(0)).unwrap_or(usize::MAX);
        self.charge(count.saturating_mul(128), offset)?;
        let items =
            (0..count).map(|n| Value::of(Data::Int(i128::from(start) + n as i128 * i128::from(step)))).collect();
        self.make(Data::List(Arc::new(items)), offset)
    }
}
