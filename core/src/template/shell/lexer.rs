//! Follows the text of a shell script. Where it cannot be sure it says so, and no value may stand from there on.
//!
//! A mistake here cannot make a value part of the script (it is bound to a variable, and the text only ever gets the
//! variable's name): it would make the reference stand in a place where it means something else.

use std::collections::{BTreeSet, VecDeque};

use super::ShellDialect;
use super::command::{ARITHMETIC_TESTS, DECLARATIONS, RESERVED_BEFORE_COMMAND, is_assignment};
use super::frame::{Code, CodeKind, Command, Expects, Frame, HereDocument, UNKNOWN, Word, note};
use super::place::evaluated;
use super::reader::reads_program;
use crate::template::TemplateProblem;
use crate::template::problem::{E_OPEN, E_VALUE};

/// Longest operator: what stands before the last bytes may depend on what comes.
const LOOKAHEAD: usize = 16;
const MAX_FRAMES: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lexer {
    pub(super) dialect: ShellDialect,
    pub(super) stack: Vec<Frame>,
    /// Text that has come but is not read yet.
    pending: String,
    here_documents: VecDeque<HereDocument>,
    /// An unquoted backslash came last.
    pub(super) escaped: bool,
    /// An unquoted `$` came last and began nothing.
    pub(super) after_dollar: bool,
    /// A line ended with a backslash and nothing came since.
    continues: bool,
    /// Since when the lexer cannot be sure, and why.
    pub(super) unsure: Option<&'static str>,
    /// Variables declared as integers or references: assigning to them evaluates.
    pub(super) evaluated_names: BTreeSet<String>,
    /// Values that turned out to be evaluated after they had been read, and why.
    pub(super) found_later: Vec<(usize, String)>,
}

pub(super) type Outcome<T> = Result<T, TemplateProblem>;

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
            evaluated_names: BTreeSet::new(),
            found_later: Vec::new(),
        }
    }

    /// Goes on with text of the script.
    pub(super) fn feed(&mut self, text: &str) -> Outcome<()> {
        self.pending.push_str(text);
        self.read(false)
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

    /// The code frame whose word is being written, when only quotes are between.
    pub(super) fn word_owner(&mut self) -> Option<&mut Code> {
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

    pub(super) fn line_push(&mut self, c: char) {
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

    pub(super) fn read(&mut self, all: bool) -> Outcome<()> {
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
                _ => Ok(self.expansion(c, rest, true)),
            },
            Some(Frame::HereDocument(document)) => {
                if document.quoted {
                    return Ok(c.len_utf8());
                }
                Ok(self.expansion(c, rest, true))
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
                    _ => Ok(self.expansion(c, rest, in_double)),
                }
            }
            Some(Frame::Arithmetic { .. }) => Ok(self.arithmetic(c, rest)),
            Some(Frame::Code(_)) => self.code(c, rest),
            None => {
                self.doubt("an unmatched parenthesis");
                Ok(c.len_utf8())
            }
        }
    }

    fn arithmetic(&mut self, c: char, rest: &str) -> usize {
        let Some(Frame::Arithmetic { depth }) = self.stack.last_mut() else { return c.len_utf8() };
        match c {
            '(' => *depth += 1,
            ')' if *depth > 0 => *depth -= 1,
            ')' if rest.starts_with("))") => {
                self.stack.pop();
                return 2;
            }
            ')' => self.doubt("`((` that is not closed by `))`"),
            '\'' => self.doubt("a quote inside arithmetic"),
            '"' => self.push(Frame::Double { locale: false }),
            _ => return self.expansion(c, rest, false),
        }
        c.len_utf8()
    }

    /// What `\`, `$` and backticks begin, alike in words, double quotes and here-documents.
    fn expansion(&mut self, c: char, rest: &str, in_double: bool) -> usize {
        match c {
            '\\' => {
                if in_double && !rest[1..].starts_with(['$', '`', '"', '\\', '\n']) && rest.len() > 1 {
                    self.word_push('\\');
                    return 1;
                }
                self.escaped = true;
                1
            }
            '`' => {
                self.word_expanded();
                self.push(Frame::Backtick);
                1
            }
            '$' if rest.starts_with("$((") => {
                self.word_expanded();
                self.push(Frame::Arithmetic { depth: 0 });
                3
            }
            '$' if rest.starts_with("$(") => {
                self.word_expanded();
                self.push(Frame::Code(Code::new(CodeKind::Substitution)));
                2
            }
            '$' if rest.starts_with("${") => {
                self.word_expanded();
                self.push(Frame::Parameter { in_double });
                2
            }
            '$' if rest.starts_with("$[") => {
                self.doubt("`$[`");
                2
            }
            '$' if rest.starts_with("$'") && !in_double => {
                self.word_quoted();
                self.push(Frame::DollarSingle);
                2
            }
            '$' if rest.starts_with("$\"") && !in_double => {
                self.word_quoted();
                self.push(Frame::Double { locale: true });
                2
            }
            '$' => {
                self.word_expanded();
                let special = rest[1..].chars().next().filter(|c| "?!#@*$-0123456789".contains(*c));
                self.after_dollar = rest.len() == 1;
                1 + special.map_or(0, char::len_utf8)
            }
            _ => {
                self.word_push(c);
                c.len_utf8()
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
                    self.end_command(false)?;
                }
                self.begin_here_document();
                Ok(1)
            }
            '(' | ')' | '<' | '>' | '&' | '|' if kind == CodeKind::Test => {
                self.end_word()?;
                // `]]` directly before it has ended the test: then it is read again.
                Ok(usize::from(matches!(self.stack.last(), Some(Frame::Code(code)) if code.kind == CodeKind::Test)))
            }
            '(' => Ok(self.open_parenthesis(rest)),
            ')' => {
                self.end_word()?;
                if matches!(self.stack.last(), Some(Frame::Code(code)) if matches!(code.kind, CodeKind::Substitution | CodeKind::Subshell))
                {
                    self.end_command(false)?;
                }
                self.close_parenthesis();
                Ok(1)
            }
            ';' | '&' | '|' => self.separator(c, rest),
            '<' | '>' => self.redirection(c, rest),
            _ => Ok(self.expansion(c, rest, false)),
        }
    }

    fn open_parenthesis(&mut self, rest: &str) -> usize {
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return 1 };
        if let Some(word) = &code.word {
            let text = word.text.as_str();
            if text.ends_with('=') && is_assignment(text) && !word.quoted {
                self.push(Frame::Code(Code::new(CodeKind::Array)));
                return 1;
            }
            let name = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c)) && !word.quoted;
            if name && code.command.words.is_empty() && rest[1..].trim_start_matches([' ', '\t']).starts_with(')') {
                // A function's definition: what follows is its body.
                self.stack_code(|code| {
                    code.word = None;
                    code.command = Command::default();
                });
                return rest.len() - rest[1..].trim_start_matches([' ', '\t']).len() + 1;
            }
            self.doubt("`(` inside a word");
            return 1;
        }
        match code.kind {
            CodeKind::CasePattern => return 1,
            CodeKind::Array | CodeKind::CaseWord => {
                self.doubt("an unexpected `(`");
                return 1;
            }
            _ => {}
        }
        let is_loop = code.command.words.len() == 1 && code.command.words[0] == "for";
        if !code.command.words.is_empty() && !is_loop {
            let header = code.command.words.len() == 1 || code.command.words[0] == "function";
            let behind = rest[1..].trim_start_matches([' ', '\t']);
            if header && behind.starts_with(')') {
                code.command = Command::default();
                return rest.len() - behind.len() + 1;
            }
            self.doubt("an unexpected `(`");
            return 1;
        }
        if rest.starts_with("((") {
            self.push(Frame::Arithmetic { depth: 0 });
            return 2;
        }
        self.push(Frame::Code(Code::new(CodeKind::Subshell)));
        1
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
        let double = rest.starts_with("||") || rest.starts_with("&&");
        self.end_command(c == '|' && !double)?;
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
        Ok(if double || rest.starts_with("|&") { 2 } else { 1 })
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

    /// Ends a command; in a pipeline the next one reads what it prints.
    fn end_command(&mut self, pipe: bool) -> Outcome<()> {
        let depth = self.stack.len();
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(()) };
        let command = std::mem::take(&mut code.command);
        if command.words.is_empty() && code.pipeline.goes_on && code.word.is_none() {
            return Ok(());
        }
        if let Some(reason) = reads_program(&command.words) {
            match code.pipeline.value {
                Some((offset, true)) => return Err(evaluated(offset, &reason)),
                Some((offset, false)) => self.found_later.push((offset, reason.clone())),
                None => {}
            }
            code.pipeline.reader.get_or_insert(reason);
        }
        if let Some(value) = command.value {
            note(&mut code.pipeline.value, value);
        }
        code.pipeline.goes_on = pipe;
        if !pipe {
            let ended = std::mem::take(&mut code.pipeline);
            for document in self.here_documents.iter_mut().filter(|one| one.depth == depth && !one.settled) {
                document.settled = true;
                document.reader.clone_from(&ended.reader);
            }
        }
        Ok(())
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
                    settled: false,
                    reader: None,
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
                    self.stack_code(|code| code.pipeline.value = code.any);
                    return Ok(());
                }
                if matches!(word.text.as_str(), "fi" | "done" | "}") {
                    code.pipeline.value = code.any;
                }
                // An option there is one of `time`.
                if RESERVED_BEFORE_COMMAND.contains(&word.text.as_str()) || word.text.starts_with('-') {
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
        let vanishes = word.expanded
            && !word.quoted
            && word.text.starts_with(UNKNOWN)
            && word.text.chars().all(|c| c == UNKNOWN || c == '_' || c.is_ascii_alphanumeric());
        code.command.vanishing = vanishes && (code.command.words.is_empty() || code.command.vanishing);
        if DECLARATIONS.contains(&first) {
            let evaluates = code.command.words.iter().any(|word| word.starts_with('-') && word.contains(['i', 'n']));
            if evaluates && !word.text.starts_with('-') {
                let name = word.text.split_once('=').map_or(word.text.as_str(), |(name, _)| name);
                self.evaluated_names.insert(name.to_owned());
            }
        }
        let Some(Frame::Code(code)) = self.stack.last_mut() else { return Ok(()) };
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
