//! Checks of a script without values: every way through its conditions and loops.

use std::collections::BTreeSet;
use std::collections::HashSet;

use minijinja::machinery::ast::Stmt;

use super::ShellDialect;
use super::lexer::Lexer;
use super::place::Printed;
use crate::template::eval::strip_marks;
use crate::template::parse::{Flavour, parse};
use crate::template::{Limits, Origin, TemplateProblem};

/// Something suspicious in a script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScriptWarning {
    /// Which entry.
    pub entry: usize,
    /// Byte offset in the entry.
    pub offset: usize,
    /// `W-SECOND-EVAL` or `W-RAW`.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// More ways through a script than this are not followed; rendering checks the one that is taken.
const MAX_WAYS: usize = 32;

/// Follows a script with placeholder values: places where no value can stand, entries that end inside quotes.
pub fn check_script(entries: &[&str], dialect: ShellDialect) -> Result<Vec<ScriptWarning>, TemplateProblem> {
    let mut warnings = BTreeSet::new();
    let mut ways = vec![Lexer::new(dialect)];
    for (number, entry) in entries.iter().enumerate() {
        let mut follow = || {
            let tree = parse(entry, Flavour::Script, Limits::default().source)?;
            let mut walk = Walk { entry: number, warnings: &mut warnings, depth: 0, fuel: Limits::default().fuel };
            ways = walk.statement(&tree, std::mem::take(&mut ways))?;
            for way in &mut ways {
                way.feed("\n")?;
                way.end_entry(entry.len())?;
                for (offset, reason) in std::mem::take(&mut way.found_later) {
                    walk.second_evaluation(offset, &reason);
                }
            }
            ways = distinct(std::mem::take(&mut ways));
            Ok(())
        };
        follow().map_err(|problem: TemplateProblem| problem.in_entry(number))?;
    }
    Ok(warnings.into_iter().collect())
}

struct Walk<'w> {
    entry: usize,
    warnings: &'w mut BTreeSet<ScriptWarning>,
    depth: u32,
    fuel: u64,
}

type Ways = Vec<Lexer>;

fn distinct(ways: Ways) -> Ways {
    let mut seen = HashSet::new();
    ways.into_iter().filter(|way| seen.insert(way.clone())).take(MAX_WAYS).collect()
}

impl Walk<'_> {
    fn statements(&mut self, statements: &[Stmt<'_>], mut ways: Ways) -> Result<Ways, TemplateProblem> {
        for statement in statements {
            ways = self.statement(statement, ways)?;
        }
        Ok(ways)
    }

    fn statement(&mut self, statement: &Stmt<'_>, mut ways: Ways) -> Result<Ways, TemplateProblem> {
        // Loops are followed twice, which doubles with each level.
        let spent = self.fuel.checked_sub(1 + ways.len() as u64);
        if self.depth >= Limits::default().recursion || spent.is_none() {
            return Err(TemplateProblem::limit(None, "the script's template nests too deep to be checked"));
        }
        self.fuel = spent.unwrap_or(0);
        self.depth += 1;
        let result = match statement {
            Stmt::Template(template) => self.statements(&template.children, ways),
            Stmt::EmitRaw(raw) => {
                ways.iter_mut().try_for_each(|way| way.feed(raw.raw))?;
                Ok(ways)
            }
            Stmt::EmitExpr(emit) => {
                let offset = emit.span().start_offset as usize;
                let marks = strip_marks(&emit.expr).1;
                if marks.raw {
                    self.warn(
                        offset,
                        "W-RAW",
                        "`| raw` makes the value part of the script".to_owned(),
                        "leave `| raw` out unless the value is shell code that you wrote yourself",
                    );
                    // What it is cannot be known; most often it is a word.
                    ways.iter_mut().try_for_each(|way| way.feed("x"))?;
                    return {
                        self.depth -= 1;
                        Ok(ways)
                    };
                }
                self.value(ways, marks.option, offset)
            }
            Stmt::IfCond(condition) => {
                let mut both = self.statements(&condition.true_body, ways.clone())?;
                both.extend(self.statements(&condition.false_body, ways)?);
                Ok(distinct(both))
            }
            Stmt::ForLoop(each) => {
                let once = self.statements(&each.body, ways.clone())?;
                let twice = self.statements(&each.body, once.clone())?;
                let mut all = self.statements(&each.else_body, ways)?;
                all.extend(once);
                all.extend(twice);
                Ok(distinct(all))
            }
            Stmt::WithBlock(with) => self.statements(&with.body, ways),
            Stmt::FilterBlock(block) => self.value(ways, false, block.span().start_offset as usize),
            Stmt::CallBlock(block) => self.value(ways, false, block.span().start_offset as usize),
            // Their text is captured, or they have none.
            _ => Ok(ways),
        };
        self.depth -= 1;
        result
    }

    fn value(&mut self, mut ways: Ways, option: bool, offset: usize) -> Result<Ways, TemplateProblem> {
        for way in &mut ways {
            let printed = Printed { text: None, origin: Origin::Trusted, option, offset };
            if let Some(reason) = way.value(&printed)?.1 {
                self.second_evaluation(offset, &reason);
            }
        }
        Ok(ways)
    }

    fn second_evaluation(&mut self, offset: usize, reason: &str) {
        self.warn(
            offset,
            "W-SECOND-EVAL",
            format!("the value is evaluated a second time: {reason}"),
            "pass it as an argument or by `environment:`; a value from outside is refused here",
        );
    }

    fn warn(&mut self, offset: usize, code: &'static str, message: String, help: &str) {
        self.warnings.insert(ScriptWarning { entry: self.entry, offset, code, message, help: Some(help.to_owned()) });
    }
}
