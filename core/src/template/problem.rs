//! What can be wrong with a template.

use std::fmt;

/// A problem in a template. Its position is a byte offset into the template's source, not into the YAML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Stable and documented: `E-TEMPLATE-…`.
    pub code: &'static str,
    /// A sentence: what is wrong.
    pub message: String,
    /// Byte offset in the source, when the place is known.
    pub offset: Option<usize>,
    /// Which entry of a script (0 for a single template).
    pub entry: usize,
    /// What to do about it.
    pub help: Option<String>,
}

/// The template cannot be parsed.
pub(crate) const E_SYNTAX: &str = "E-TEMPLATE-SYNTAX";
/// Go-template syntax.
pub(crate) const E_GO: &str = "E-TEMPLATE-GO";
/// A name or attribute that does not exist, or a value that is not there.
pub(crate) const E_UNDEFINED: &str = "E-TEMPLATE-UNDEFINED";
/// An unknown filter, function or test.
pub(crate) const E_UNKNOWN: &str = "E-TEMPLATE-UNKNOWN";
/// An operation that does not fit its operands.
pub(crate) const E_VALUE: &str = "E-TEMPLATE-VALUE";
/// Too many steps, too much memory, too deep, too long.
pub(crate) const E_LIMIT: &str = "E-TEMPLATE-LIMIT";
/// A job variable that refers to itself.
pub(crate) const E_CYCLE: &str = "E-TEMPLATE-CYCLE";
/// A function of the caller failed.
pub(crate) const E_FUNCTION: &str = "E-TEMPLATE-FUNCTION";
/// Something of the template language that is left out on purpose.
pub(crate) const E_UNSUPPORTED: &str = "E-TEMPLATE-UNSUPPORTED";
/// A value stands where a shell would not take it as a plain value.
pub(crate) const E_PLACE: &str = "E-SHELL-PLACE";
/// A value from outside stands where a program evaluates it, or would be taken for an option.
pub(crate) const E_OUTSIDE: &str = "E-SHELL-OUTSIDE";
/// A script entry ends inside quotes, an expansion or a here-document.
pub(crate) const E_OPEN: &str = "E-SHELL-OPEN";
/// `{# … #}` in a script.
pub(crate) const E_COMMENT: &str = "E-SHELL-COMMENT";

impl TemplateProblem {
    pub(crate) fn new(code: &'static str, offset: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), offset: offset.into(), entry: 0, help: None }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn limit(offset: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::new(E_LIMIT, offset, message)
    }

    /// A value from outside in the source of a program that is no POSIX shell.
    pub(crate) fn outside_in_source(offset: usize) -> Self {
        let message = "a value from outside cannot be written into this program's source: it could become code";
        Self::new(E_OUTSIDE, offset, message)
            .with_help("pass it by `environment:` and read it there, e.g. os.environ[\"TITLE\"]")
    }

    #[must_use]
    pub(crate) fn in_entry(mut self, entry: usize) -> Self {
        self.entry = entry;
        self
    }
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateProblem {}

/// The candidate that is most likely meant, when one is close enough.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let score = strsim::jaro_winkler(&lower, &candidate.to_lowercase());
            (score, candidate)
        })
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}
