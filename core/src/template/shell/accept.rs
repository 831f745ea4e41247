//! Whether a value may stand where the lexer is, and as what.

use super::command::{Role, evaluates, role};
use super::frame::{CodeKind, Expects, Frame, UNKNOWN, note};
use super::lexer::{Lexer, Outcome};
use super::place::{Place, Printed, evaluated, is_whole_number, refused};
use crate::template::TemplateProblem;
use crate::template::problem::{E_OUTSIDE, E_VALUE};

impl Lexer {
    /// A value is printed here: where, and why it would be evaluated, if it would.
    pub(super) fn value(&mut self, value: &Printed<'_>) -> Outcome<(Place, Option<String>)> {
        self.read(true)?;
        let offset = value.offset;
        if let Some(reason) = self.unsure {
            return Err(refused(
                offset,
                &format!("behind {reason}: it is not certain how the shell reads what follows"),
                "put the value into `environment:` and write \"$NAME\"",
            ));
        }
        if self.escaped {
            return Err(refused(
                offset,
                "right behind a backslash",
                "leave the backslash out: the value needs no escaping",
            ));
        }
        if self.after_dollar {
            return Err(refused(offset, "right behind `$`", "leave the `$` out, or escape it: \\$"));
        }
        let place = self.place(value)?;
        let reason = self.second_evaluation();
        if let Some(reason) = &reason
            && value.is_outside()
            && !value.is_harmless()
        {
            return Err(evaluated(offset, reason));
        }
        let inner_arithmetic = self.stack.iter().any(|frame| matches!(frame, Frame::Arithmetic { .. }));
        if inner_arithmetic && value.is_outside() && !value.is_harmless() {
            return Err(evaluated(offset, "arithmetic evaluates names and subscripts in it"));
        }
        if self.stack.iter().any(|frame| matches!(frame, Frame::Parameter { .. }))
            && value.is_outside()
            && !value.is_harmless()
        {
            return Err(evaluated(offset, "${…} may evaluate what is in it as arithmetic"));
        }
        if place != Place::Comment {
            self.note_value(value);
        }
        Ok((place, reason))
    }

    fn place(&self, value: &Printed<'_>) -> Outcome<Place> {
        let offset = value.offset;
        let around = self.stack.iter().rev().take_while(|frame| !matches!(frame, Frame::Code(_)));
        if around.into_iter().any(|frame| matches!(frame, Frame::Parameter { .. })) {
            return Err(refused(offset, "inside ${…}", "assign it to a variable first: x={{ x }}, then use $x"));
        }
        match self.stack.last() {
            Some(Frame::Comment) => Ok(Place::Comment),
            Some(Frame::Single) => self.check_word(value, true).map(|()| Place::Single),
            Some(Frame::Double { locale: false }) => self.check_word(value, true).map(|()| Place::Expanded),
            Some(Frame::Double { locale: true }) => {
                Err(refused(offset, "inside $\"…\"", "use plain double quotes: \"…\""))
            }
            Some(Frame::DollarSingle) => Err(refused(offset, "inside $'…'", "use double quotes: \"{{ x }}\"")),
            Some(Frame::Backtick) => Err(refused(offset, "inside backticks", "write $( … ) instead of ` … `")),
            Some(Frame::Arithmetic { .. }) => match value.text {
                Some(text) if !is_whole_number(text) => {
                    Err(TemplateProblem::new(E_VALUE, offset, "only a whole number can stand in shell arithmetic")
                        .with_help("compute it in the template: {{ x | int + 1 }}"))
                }
                _ => Ok(Place::Arithmetic),
            },
            Some(Frame::HereDocument(document)) if document.quoted => Err(refused(
                offset,
                &format!("in a here-document with a quoted delimiter (`<<'{}'`)", document.delimiter),
                &format!(
                    "write <<{} without quotes (then escape the document's own $ as \\$), or use `environment:`",
                    document.delimiter
                ),
            )),
            Some(Frame::HereDocument(_)) => Ok(Place::Expanded),
            Some(Frame::Code(_)) => self.check_word(value, false).map(|()| Place::Bare),
            Some(Frame::Parameter { .. }) | None => Err(refused(offset, "here", "put it into `environment:`")),
        }
    }

    /// Refuses a value as (part of) a command's name or a delimiter, and options from outside.
    fn check_word(&self, value: &Printed<'_>, quoted: bool) -> Outcome<()> {
        let offset = value.offset;
        let Some(code) = self.stack.iter().rev().find_map(|frame| match frame {
            Frame::Code(code) => Some(code),
            _ => None,
        }) else {
            return Ok(());
        };
        if matches!(code.command.expects, Expects::Delimiter { .. }) {
            return Err(refused(offset, "in the delimiter of a here-document", "write a fixed word: <<EOF"));
        }
        let spliced = "write the name itself and pass the value as an argument; if the value is shell code that you wrote yourself: {{ x | raw }}";
        match role(code) {
            Role::Name if code.command.words.is_empty() || value.text.is_some_and(|text| !is_whole_number(text)) => {
                return Err(refused(offset, "where the name of a command is read", spliced));
            }
            Role::HeaderName => return Err(refused(offset, "as the name of a variable or function", spliced)),
            _ => {}
        }
        let starts_word = code.word.as_ref().is_none_or(|word| word.text.is_empty() && word.open_start && !word.quoted);
        let is_argument = role(code) == Role::Argument
            && code.command.expects == Expects::Argument
            && !code.command.after_dashes
            && matches!(code.kind, CodeKind::Top | CodeKind::Substitution | CodeKind::Subshell | CodeKind::CaseBody)
            && code.command.words.first().is_none_or(|word| word != "for" && word != "select");
        let dash = value.text.is_some_and(|text| text.starts_with('-') && !is_whole_number(text));
        if !quoted && starts_word && is_argument && dash && !value.option && value.is_outside() {
            return Err(TemplateProblem::new(E_OUTSIDE, offset, "this value from outside starts with `-`: the program would take it for an option")
                .with_help("write -- before it, put it in quotes if the program reads no options there, or allow it: {{ x | option }}"));
        }
        Ok(())
    }

    fn second_evaluation(&self) -> Option<String> {
        self.stack.iter().rev().find_map(|frame| match frame {
            Frame::Code(code) => evaluates(code).or_else(|| {
                let (name, _) = code.word.as_ref()?.text.split_once('=')?;
                let name = name.strip_suffix('+').unwrap_or(name);
                self.evaluated_names
                    .contains(name)
                    .then(|| format!("{name} is declared with -i or -n, so assigning to it evaluates"))
            }),
            Frame::HereDocument(document) => document.reader.clone(),
            _ => None,
        })
    }

    fn note_value(&mut self, value: &Printed<'_>) {
        let outside = value.is_outside() && !value.is_harmless();
        let quoted = !matches!(self.stack.last(), Some(Frame::Code(_)));
        self.line_push(UNKNOWN);
        let noted = (value.offset, outside);
        let done = self.stack.iter().rposition(|frame| matches!(frame, Frame::HereDocument(one) if one.settled));
        let document = self.stack.iter().rposition(|frame| matches!(frame, Frame::HereDocument(_)));
        if !value.is_harmless() {
            for (depth, frame) in self.stack.iter_mut().enumerate() {
                if let Frame::Code(code) = frame {
                    note(&mut code.any, noted);
                    if done.is_none_or(|done| depth > done) {
                        let argument =
                            code.command.expects == Expects::Argument && document.is_none_or(|at| depth > at);
                        note(if argument { &mut code.command.value } else { &mut code.pipeline.value }, noted);
                    }
                }
            }
        }
        if let Some(code) = self.word_owner() {
            let index = code.command.words.len();
            let word = code.word_mut();
            let still_open =
                word.open_start && word.text.is_empty() && value.text.is_some_and(str::is_empty) && !quoted;
            word.expanded = true;
            if !still_open {
                word.text.push(UNKNOWN);
                word.open_start = false;
            }
            if outside {
                code.command.tested.push((index, value.offset));
            }
        }
    }
}
