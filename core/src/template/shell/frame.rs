//! What the lexer is inside of.

/// One level of nesting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    Code(Code),
    Single,
    /// `"…"`; `$"…"` is translated by bash, values there are refused.
    Double {
        locale: bool,
    },
    /// `$'…'`.
    DollarSingle,
    Backtick,
    /// `${…}`; whether double quotes or a here-document are around it.
    Parameter {
        in_double: bool,
    },
    /// `$((…))`, or `((…))` as a command.
    Arithmetic {
        depth: u32,
    },
    Comment,
    HereDocument(HereDocument),
}

/// Commands and words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Code {
    pub(super) kind: CodeKind,
    pub(super) command: Command,
    pub(super) word: Option<Word>,
    pub(super) pipeline: Pipeline,
    /// A value anywhere in this code: what a compound command prints is not followed.
    pub(super) any: Option<Noted>,
}

/// Where a value stood, and whether it came from outside.
pub(super) type Noted = (usize, bool);

/// The commands so far of the pipeline that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Pipeline {
    /// A value in it.
    pub(super) value: Option<Noted>,
    /// One of its commands takes a program from its standard input.
    pub(super) reader: Option<String>,
    /// A `|` came last.
    pub(super) goes_on: bool,
}

/// The value that matters more.
pub(super) fn note(known: &mut Option<Noted>, new: Noted) {
    if known.is_none_or(|known| new.1 && !known.1) {
        *known = Some(new);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CodeKind {
    Top,
    /// `$(…)`, `<(…)`.
    Substitution,
    /// `(…)`.
    Subshell,
    /// `name=(…)`.
    Array,
    /// `[[ … ]]`.
    Test,
    /// Between `case` and `in`.
    CaseWord,
    CasePattern,
    CaseBody,
}

/// The simple command so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Command {
    /// Its words without assignments, redirections and leading reserved words; text without quotes.
    pub(super) words: Vec<String>,
    /// `--` was among them.
    pub(super) after_dashes: bool,
    /// A value among its arguments: what it prints may contain it.
    pub(super) value: Option<Noted>,
    /// All words so far may expand to nothing.
    pub(super) vanishing: bool,
    /// What the next word is, when it is no argument.
    pub(super) expects: Expects,
    /// Values from outside that are no numbers, by the index of their word (only for tests).
    pub(super) tested: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Expects {
    #[default]
    Argument,
    Redirection,
    Delimiter {
        strip: bool,
    },
}

/// The word being read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Word {
    /// Its text without quotes; values and expansions are U+FFFC.
    pub(super) text: String,
    pub(super) quoted: bool,
    /// It has an expansion or a value in it.
    pub(super) expanded: bool,
    /// Only empty values so far: the next value still decides how the word starts.
    pub(super) open_start: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HereDocument {
    pub(super) delimiter: String,
    pub(super) quoted: bool,
    pub(super) strip: bool,
    /// Depth of the stack at which its operator stood.
    pub(super) depth: usize,
    pub(super) line: String,
    /// The line before ended with a backslash.
    pub(super) continued: bool,
    /// The pipeline it belongs to has ended.
    pub(super) settled: bool,
    /// Why its text is run, if it is.
    pub(super) reader: Option<String>,
}

/// Stands for something whose text is not known.
pub(super) const UNKNOWN: char = '\u{FFFC}';

impl Code {
    pub(super) fn new(kind: CodeKind) -> Self {
        Self { kind, command: Command::default(), word: None, pipeline: Pipeline::default(), any: None }
    }

    pub(super) fn word_mut(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { open_start: true, ..Word::default() })
    }
}
