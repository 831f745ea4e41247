//! Follows the text of a shell script. Where it cannot be sure it says so, and no value may stand from there on.
//!
//! A mistake here cannot make a value part of the script (it is bound to a variable, and the text only ever gets the
//! variable's name): it would make the reference stand in a place where it means something else.

use std::collections::VecDeque;

use super::ShellDialect;
use super::command::{ARITHMETIC_TESTS, RESERVED_BEFORE_COMMAND, Role, evaluates, is_assignment, role};
use super::frame::{Code, CodeKind, Command, Expects, Frame, HereDocument, UNKNOWN, Word};
use super::place::{Place, Printed, evaluated, is_whole_number, refused};
use crate::template::TemplateProblem;
use crate::template::problem::{E_OPEN, E_OUTSIDE, E_VALUE};

/// Longest operator: what stands before the last bytes may depend on what comes.
const LOOKAHEAD: usize = 16;
const MAX_FRAMES: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lexer {
    dialect: ShellDialect,
    stack: Vec<Frame>,
    /// Text that has come but is not read yet.
    pending: String,
    here_documents: VecDeque<HereDocument>,
    /// An unquoted backslash came last.
    escaped: bool,
    /// An unquoted `$` came last and began nothing.
    after_dollar: bool,
    /// A line ended with a backslash and nothing came since.
    continues: bool,
    /// Since when the lexer cannot be sure, and why.
    unsure: Option<&'static str>,
}

type Outcome<T> = Result<T, TemplateProblem>;

impl Lexer {
    pub(super) fn new(dialect: ShellDialect) -> Self {
        Self {
            dialect,
            stack: vec![Frame::Code(Code::new(CodeKind::Top))],
            pending: String::new(),
            here_documents: VecDeque::new(),
            escaped: false,
            after_dollar: false,
            continues: false,
            unsure: None,
        }
    }

    /// Goes on with text of the script.
    pub(super) fn feed(&mut self, text: &str) -> Outcome<()> {
        self.pending.push_str(text);
        self.read(false)
    }

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
        if place != Place::Comment {
            self.note_value(value);
        }
        Ok((place, reason))
    }

    /// The entry ends: everything must be closed.
    pub(super) fn end_entry(&mut self, offset: usize) -> Outcome<()> {
        self.read(true)?;
        if self.unsure.is_some() {
            // What is open cannot be known; the shell will say.
            return Ok(());
        }
        let open = match self.stack.last() {
            _ if !self.here_documents.is_empty() => Some("a here-document whose text is missing".to_owned()),
            Some(Frame::Single | Frame::DollarSingle) => Some("single quotes".to_owned()),
            Some(Frame::Double { .. }) => Some("double quotes".to_owned()),
            Some(Frame::Backtick) => Some("backticks".to_owned()),
            Some(Frame::Parameter { .. }) => Some("`${`".to_owned()),
            Some(Frame::Arithmetic { .. }) => Some("`((`".to_owned()),
            Some(Frame::HereDocument(document)) => {
                Some(format!("the here-document that ends with {:?}", document.delimiter))
            }
            Some(Frame::Code(code)) => match code.kind {
                CodeKind::Substitution => Some("`$(`".to_owned()),
                CodeKind::Array => Some("an array's `(`".to_owned()),
                CodeKind::Test => Some("`[[`".to_owned()),
                _ if self.escaped || self.continues || code.word.is_some() => {
                    Some("a line that goes on behind a backslash".to_owned())
                }
                // A compound command may go on in the next entry.
                _ => None,
            },
            Some(Frame::Comment) | None => None,
        };
        match open {
            Some(open) => {
                Err(TemplateProblem::new(E_OPEN, offset, format!("this entry of the script ends inside {open}"))
                    .with_help("close it in the same entry; use `- |` for an entry of several lines"))
            }
            None => Ok(()),
        }
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
            Frame::Code(code) => evaluates(code),
            _ => None,
        })
    }

    fn note_value(&mut self, value: &Printed<'_>) {
        let outside = value.is_outside() && !value.is_harmless();
        let quoted = !matches!(self.stack.last(), Some(Frame::Code(_)));
        self.line_push(UNKNOWN);
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

    /// The code frame whose word is being written, when only quotes are between.
    fn word_owner(&mut self) -> Option<&mut Code> {
        for frame in self.stack.iter_mut().rev() {
            match frame {
                Frame::Code(code) => return Some(code),
                Frame::Single | Frame::Double { .. } | Frame::DollarSingle => {}
                _ => return None,
            }
        }
        None
    }

    fn word_push(&mut self, c: char) {
        if let Some(code) = self.word_owner() {
            let word = code.word_mut();
            word.open_start = false;
            if word.text.len() < 512 {
                word.text.push(c);
            }
        }
    }

    fn word_quoted(&mut self) {
        if let Some(code) = self.word_owner() {
            let word = code.word_mut();
            word.quoted = true;
        }
    }

    /// An expansion begins in the word being written.
    fn word_expanded(&mut self) {
        self.word_push(UNKNOWN);
        if let Some(code) = self.word_owner() {
            code.word_mut().expanded = true;
        }
    }

    fn line_push(&mut self, c: char) {
        for frame in &mut self.stack {
            if let Frame::HereDocument(document) = frame
                && document.line.len() <= document.delimiter.len() + 64
            {
                document.line.push(c);
            }
        }
    }

    fn doubt(&mut self, reason: &'static str) {
        self.unsure.get_or_insert(reason);
    }

    fn push(&mut self, frame: Frame) {
        if self.stack.len() >= MAX_FRAMES {
            self.doubt("very deep nesting");
        } else {
            self.stack.push(frame);
        }
    }

    fn read(&mut self, all: bool) -> Outcome<()> {
        let text = std::mem::take(&mut self.pending);
        let mut at = 0;
        while at < text.len() && (all || text.len() - at > LOOKAHEAD) {
            if self.unsure.is_some() {
                return Ok(());
            }
            let rest = &text[at..];
            let Some(c) = rest.chars().next() else { break };
            self.after_dollar = false;
            let before = self.stack.len();
            let used = self.step(c, rest)?;
            // Inside a here-document every character counts for its lines.
            if before > 0 {
                for c in rest[..used].chars().filter(|c| *c != '\n') {
                    self.line_push(c);
                }
            }
            at += used;
        }
        text[at..].clone_into(&mut self.pending);
        Ok(())
    }

    /// Reads one character or operator; how many bytes it was.
    fn step(&mut self, c: char, rest: &str) -> Outcome<usize> {
        if c == '\0' {
            return Err(TemplateProblem::new(E_VALUE, None, "the script contains a NUL byte"));
        }
        if c == '\n' && self.ends_here_document() {
            return Ok(1);
        }
        if self.escaped {
            self.escaped = false;
            self.continues = c == '\n';
            if c != '\n' {
                self.word_quoted();
                self.word_push(c);
            } else if !self.here_documents.is_empty() {
                self.doubt("a continued line behind `<<`");
            }
            return Ok(c.len_utf8());
        }
        self.continues = false;
        if c == '\n'
            && !self.here_documents.is_empty()
            && !matches!(self.stack.last(), Some(Frame::Code(_) | Frame::Comment))
        {
            self.doubt("a line break inside quotes or an expansion behind `<<`");
        }
        match self.stack.last_mut() {
            Some(Frame::Single) => {
                if c == '\'' {
                    self.stack.pop();
                } else {
                    self.word_push(c);
                }
                Ok(c.len_utf8())
            }
            Some(Frame::DollarSingle) => {
                if c == '\'' {
                    self.stack.pop();
                } else if c == '\\' {
                    if rest[1..].starts_with('\'') && self.dialect == ShellDialect::Posix {
                        self.doubt("\\' inside $'…', which shells read differently");
                    }
                    return Ok(1 + rest[1..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8));
                } else {
                    self.word_push(c);
                }
                Ok(c.len_utf8())
            }
            Some(Frame::Comment) => {
                if c == '\n' {
                    self.stack.pop();
                    return self.code(c, rest);
                }
                Ok(c.len_utf8())
            }
            Some(Frame::Backtick) => {
                if c == '\\' {
                    return Ok(1 + rest[1..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8));
                }
                if c == '`' {
                    self.stack.pop();
                }
                Ok(c.len_utf8())
            }
            Some(Frame::Double { .. }) => match c {
                '"' => {
                    self.stack.pop();
                    Ok(1)
                }
                _ => self.expansion(c, rest, true),
            },
            Some(Frame::HereDocument(document)) => {
                if document.quoted {
                    return Ok(c.len_utf8());
                }
                self.expansion(c, rest, true)
            }
            Some(Frame::Parameter { in_double }) => {
                let in_double = *in_double;
                match c {
                    '}' => {
                        self.stack.pop();
                        Ok(1)
                    }
                    '\'' if in_double => {
                        self.doubt("a single quote inside \"${…}\"");
                        Ok(1)
                    }
                    '\'' => {
                        self.push(Frame::Single);
                        Ok(1)
                    }
                    '"' => {
                        self.push(Frame::Double { locale: false });
                        Ok(1)
                    }
                    _ => self.expansion(c, rest, in_double),
                }
            }
            Some(Frame::Arithmetic { .. }) => self.arithmetic(c, rest),
            Some(Frame::Code(_)) => self.code(c, rest),
            None => {
                self.doubt("an unmatched parenthesis");
                Ok(c.len_utf8())
            }
        }
    }

    fn arithmetic(&mut self, c: char, rest: &str) -> Outcome<usize> {
        let Some(Frame::Arithmetic { depth }) = self.stack.last_mut() else { return Ok(c.len_utf8()) };
        match c {
            '(' => *depth += 1,
            ')' if *depth > 0 => *depth -= 1,
            ')' if rest.starts_with("))") => {
                self.stack.pop();
                return Ok(2);
            }
            ')' => self.doubt("`((` that is not closed by `))`"),
            '\'' => self.doubt("a quote inside arithmetic"),
            '"' => self.push(Frame::Double { locale: false }),
            _ => return self.expansion(c, rest, false),
        }
        Ok(c.len_utf8())
    }

    /// What `\`, `$` and backticks begin, alike in words, double quotes and here-documents.
    fn expansion(&mut self, c: char, rest: &str, in_double: bool) -> Outcome<usize> {
        match c {
            '\\' => {
                if in_double && !rest[1..].starts_with(['$', '`', '"', '\\', '\n']) && rest.len() > 1 {
                    self.word_push('\\');
                    return Ok(1);
                }
                self.escaped = true;
                Ok(1)
            }
            '`' => {
                self.word_expanded();
                self.push(Frame::Backtick);
                Ok(1)
            }
            '$' if rest.starts_with("$((") => {
                self.word_expanded();
                self.push(Frame::Arithmetic { depth: 0 });
                Ok(3)
            }
            '$' if rest.starts_with("$(") => {
                self.word_expanded();
                self.push(Frame::Code(Code::new(CodeKind::Substitution)));
                Ok(2)
            }
            '$' if rest.starts_with("${") => {
                self.word_expanded();
                self.push(Frame::Parameter { in_double });
                Ok(2)
            }
            '$' if rest.starts_with("$[") => {
                self.doubt("`$[`");
                Ok(2)
            }
            '$' if rest.starts_with("$'") && !in_double => {
                self.word_quoted();
                self.push(Frame::DollarSingle);
                Ok(2)
            }
            '$' if rest.starts_with("$\"") && !in_double => {
                self.word_quoted();
                self.push(Frame::Double { locale: true });
                Ok(2)
            }
            '$' => {
                self.word_expanded();
                let special = rest[1..].chars().next().filter(|c| "?!#@*$-0123456789".contains(*c));
                self.after_dollar = rest.len() == 1;
                Ok(1 + special.map_or(0, char::len_utf8))
            }
            _ => {
                self.word_push(c);
                Ok(c.len_utf8())
            }
        }
    }

    /// Commands and words.
    fn code(&mut self, c: char, rest: &str) -> Outcome<usize> {
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(c.len_utf8()) };
        let kind = code.kind;
        let in_word = code.word.is_some();
        match c {
            ' ' | '\t' => {
                self.end_word()?;
                Ok(1)
            }
            '#' if !in_word => {
                self.push(Frame::Comment);
                Ok(1)
            }
            '\'' => {
                self.word_quoted();
                self.push(Frame::Single);
                Ok(1)
            }
            '"' => {
                self.word_quoted();
                self.push(Frame::Double { locale: false });
                Ok(1)
            }
            '\n' => {
                self.end_word()?;
                if !matches!(kind, CodeKind::Array | CodeKind::Test | CodeKind::CaseWord) {
                    self.end_command();
                }
                self.begin_here_document();
                Ok(1)
            }
            '(' | ')' if kind == CodeKind::Test => {
                self.end_word()?;
                Ok(1)
            }
            '<' | '>' | '&' | '|' if kind == CodeKind::Test => {
                self.end_word()?;
                Ok(1)
            }
            '(' => self.open_parenthesis(rest),
            ')' => {
                self.end_word()?;
                self.close_parenthesis();
                Ok(1)
            }
            ';' | '&' | '|' => self.separator(c, rest),
            '<' | '>' => self.redirection(c, rest),
            _ => self.expansion(c, rest, false),
        }
    }

    fn open_parenthesis(&mut self, rest: &str) -> Outcome<usize> {
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(1) };
        if let Some(word) = &code.word {
            let text = word.text.as_str();
            if text.ends_with('=') && is_assignment(text) && !word.quoted {
                self.push(Frame::Code(Code::new(CodeKind::Array)));
                return Ok(1);
            }
            let name = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c)) && !word.quoted;
            if name && code.command.words.is_empty() && rest[1..].trim_start_matches([' ', '\t']).starts_with(')') {
                // A function's definition: what follows is its body.
                self.stack_code(|code| {
                    code.word = None;
                    code.command = Command::default();
                });
                return Ok(rest.len() - rest[1..].trim_start_matches([' ', '\t']).len() + 1);
            }
            self.doubt("`(` inside a word");
            return Ok(1);
        }
        match code.kind {
            CodeKind::CasePattern => return Ok(1),
            CodeKind::Array | CodeKind::CaseWord => {
                self.doubt("an unexpected `(`");
                return Ok(1);
            }
            _ => {}
        }
        let is_loop = code.command.words.len() == 1 && code.command.words[0] == "for";
        if !code.command.words.is_empty() && !is_loop {
            let header = code.command.words.len() == 1 || code.command.words[0] == "function";
            let behind = rest[1..].trim_start_matches([' ', '\t']);
            if header && behind.starts_with(')') {
                code.command = Command::default();
                return Ok(rest.len() - behind.len() + 1);
            }
            self.doubt("an unexpected `(`");
            return Ok(1);
        }
        if rest.starts_with("((") {
            self.push(Frame::Arithmetic { depth: 0 });
            return Ok(2);
        }
        self.push(Frame::Code(Code::new(CodeKind::Subshell)));
        Ok(1)
    }

    fn close_parenthesis(&mut self) {
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return };
        match code.kind {
            CodeKind::CasePattern => {
                code.kind = CodeKind::CaseBody;
                code.command = Command::default();
            }
            CodeKind::Substitution | CodeKind::Subshell | CodeKind::Array => {
                let depth = self.stack.len();
                if self.here_documents.iter().any(|document| document.depth >= depth) {
                    self.doubt("a parenthesis closed before the here-document in it");
                }
                self.stack.pop();
            }
            _ => self.doubt("an unmatched `)`"),
        }
    }

    fn separator(&mut self, c: char, rest: &str) -> Outcome<usize> {
        self.end_word()?;
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(1) };
        if code.kind == CodeKind::Array || code.kind == CodeKind::CaseWord {
            self.doubt("an operator where a word is expected");
            return Ok(1);
        }
        if code.kind == CodeKind::CasePattern {
            if c != '|' {
                self.unsure.get_or_insert("an operator in a `case` pattern");
            }
            code.command = Command::default();
            return Ok(1);
        }
        self.end_command();
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(1) };
        if c == ';' && (rest.starts_with(";;") || rest.starts_with(";&")) {
            let used = if rest.starts_with(";;&") { 3 } else { 2 };
            if code.kind == CodeKind::CaseBody {
                code.kind = CodeKind::CasePattern;
            } else {
                self.doubt("`;;` outside of `case`");
            }
            return Ok(used);
        }
        Ok(1)
    }

    fn redirection(&mut self, c: char, rest: &str) -> Outcome<usize> {
        if rest.starts_with("<(") || rest.starts_with(">(") {
            if self.dialect == ShellDialect::Posix {
                self.doubt("`<(`, which is no POSIX shell");
            }
            self.word_expanded();
            self.push(Frame::Code(Code::new(CodeKind::Substitution)));
            return Ok(2);
        }
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(1) };
        if matches!(code.kind, CodeKind::Array | CodeKind::CaseWord | CodeKind::CasePattern) {
            self.doubt("a redirection where a word is expected");
            return Ok(1);
        }
        // `2>`: the number belongs to the operator.
        if code
            .word
            .as_ref()
            .is_some_and(|word| !word.quoted && !word.text.is_empty() && word.text.chars().all(|c| c.is_ascii_digit()))
        {
            code.word = None;
        }
        self.end_word()?;
        let (expects, used) = if c == '<' && rest.starts_with("<<<") {
            if self.dialect == ShellDialect::Posix {
                self.doubt("`<<<`, which is no POSIX shell");
            }
            (Expects::Redirection, 3)
        } else if rest.starts_with("<<-") {
            (Expects::Delimiter { strip: true }, 3)
        } else if rest.starts_with("<<") {
            (Expects::Delimiter { strip: false }, 2)
        } else if [">>", ">&", ">|", "<&", "<>"].iter().any(|operator| rest.starts_with(operator)) {
            (Expects::Redirection, 2)
        } else {
            (Expects::Redirection, 1)
        };
        self.stack_code(|code| code.command.expects = expects);
        Ok(used)
    }

    fn stack_code(&mut self, change: impl FnOnce(&mut Code)) {
        if let Some(Frame::Code(code)) = self.stack.last_mut() {
            change(code);
        }
    }

    fn end_command(&mut self) {
        self.stack_code(|code| code.command = Command::default());
    }

    fn end_word(&mut self) -> Outcome<()> {
        let depth = self.stack.len();
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(()) };
        let Some(word) = code.word.take() else { return Ok(()) };
        match std::mem::take(&mut code.command.expects) {
            Expects::Redirection => return Ok(()),
            Expects::Delimiter { strip } => {
                if word.expanded || word.text.contains('\n') {
                    self.unsure.get_or_insert("a here-document whose delimiter is not a plain word");
                    return Ok(());
                }
                self.here_documents.push_back(HereDocument {
                    delimiter: word.text,
                    quoted: word.quoted,
                    strip,
                    depth,
                    line: String::new(),
                    continued: false,
                });
                return Ok(());
            }
            Expects::Argument => {}
        }
        match code.kind {
            CodeKind::Array => return Ok(()),
            CodeKind::CaseWord => {
                if code.command.words.len() == 1 && word.text == "in" && !word.quoted {
                    code.kind = CodeKind::CasePattern;
                    code.command = Command::default();
                } else {
                    code.command.words.push(word.text);
                }
                return Ok(());
            }
            CodeKind::CasePattern => {
                if code.command.words.is_empty() && word.text == "esac" && !word.quoted {
                    self.stack.pop();
                    return Ok(());
                }
                code.command.words.push(word.text);
                return Ok(());
            }
            CodeKind::Test if word.text == "]]" && !word.quoted => {
                self.stack.pop();
                return Ok(());
            }
            _ => {}
        }
        self.end_argument(word)
    }

    fn end_argument(&mut self, word: Word) -> Outcome<()> {
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(()) };
        let plain = !word.quoted && !word.expanded;
        if code.kind != CodeKind::Test && code.command.words.is_empty() {
            if is_assignment(&word.text) {
                return Ok(());
            }
            if plain {
                if word.text == "case" {
                    self.push(Frame::Code(Code::new(CodeKind::CaseWord)));
                    return Ok(());
                }
                if word.text == "[[" {
                    self.push(Frame::Code(Code::new(CodeKind::Test)));
                    return Ok(());
                }
                if word.text == "esac" && code.kind == CodeKind::CaseBody {
                    self.stack.pop();
                    return Ok(());
                }
                if RESERVED_BEFORE_COMMAND.contains(&word.text.as_str()) {
                    return Ok(());
                }
            }
        }
        let first = code.command.words.first().map_or("", String::as_str);
        let body = match first {
            "for" | "select" => {
                word.text == "do" && code.command.words.len() <= 2 || word.text == "{" && code.command.words.len() == 1
            }
            "function" => word.text == "{",
            _ => false,
        };
        if plain && body && code.kind != CodeKind::Test {
            code.command = Command::default();
            return Ok(());
        }
        code.command.after_dashes |= plain && word.text == "--";
        let words = &mut code.command.words;
        let index = words.len();
        let is_arithmetic = ARITHMETIC_TESTS.contains(&word.text.as_str());
        let is_test = code.kind == CodeKind::Test || words.first().is_some_and(|word| word == "[" || word == "test");
        if is_test && is_arithmetic {
            let operand = code.command.tested.iter().find(|(at, _)| at + 1 == index);
            if let Some((_, offset)) = operand {
                return Err(evaluated(*offset, &format!("`{}` evaluates it as arithmetic", word.text)));
            }
        }
        if words.len() < 256 {
            words.push(word.text);
        } else if let Some(last) = words.last_mut() {
            *last = word.text;
        }
        Ok(())
    }

    fn begin_here_document(&mut self) {
        let depth = self.stack.len();
        let Some(document) = self.here_documents.pop_front() else { return };
        if document.depth != depth {
            self.doubt("a here-document that begins outside of where its operator stands");
            return;
        }
        self.stack.push(Frame::HereDocument(document));
    }

    /// At the end of a line: whether a here-document ends with it.
    fn ends_here_document(&mut self) -> bool {
        let Some(index) = self.stack.iter().rposition(|frame| matches!(frame, Frame::HereDocument(_))) else {
            return false;
        };
        let escaped = self.escaped;
        let Some(Frame::HereDocument(document)) = self.stack.get_mut(index) else { return false };
        let line = std::mem::take(&mut document.line);
        let line = if document.strip { line.trim_start_matches('\t') } else { line.as_str() };
        let found = line == document.delimiter;
        let continued = std::mem::replace(&mut document.continued, escaped && !document.quoted);
        if !found {
            return false;
        }
        if continued {
            self.doubt("a here-document's delimiter behind a line that ends with a backslash");
        }
        if index + 1 < self.stack.len() {
            self.doubt("a here-document that ends inside an expansion");
        }
        self.stack.truncate(index);
        self.begin_here_document();
        true
    }
}
