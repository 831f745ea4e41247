//! Bytes → a checked definition, or everything that is wrong with them.

use super::walk::Walk;
use super::{ConfigUses, Diagnostic, JobDefinition, KnownConfigs, Limits, Severity, Span, code, tree};

/// What the loader found.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Present if there is no error.
    pub definition: Option<JobDefinition>,
    /// Errors and warnings in order of position.
    pub diagnostics: Vec<Diagnostic>,
    /// The configs and secrets that it needs.
    pub uses: ConfigUses,
}

impl Loaded {
    fn refused(diagnostic: Diagnostic) -> Self {
        Self { definition: None, diagnostics: vec![diagnostic], uses: ConfigUses::default() }
    }

    /// The warnings of a definition that was accepted.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }
}

/// Reads and checks a definition. All problems are found in one pass, except that after a YAML syntax error only that
/// error is reported.
///
/// No config is known: a name alone is none. See [`load_with`].
pub fn load(file_name: &str, source: &[u8], limits: &Limits) -> Loaded {
    load_with(file_name, source, limits, KnownConfigs::Unknown)
}

/// Like [`load`], where it is known which configs there are.
pub fn load_with(file_name: &str, source: &[u8], limits: &Limits, configs: KnownConfigs<'_>) -> Loaded {
    let text = match readable(file_name, source, limits) {
        Ok(text) => text,
        Err(diagnostic) => return Loaded::refused(*diagnostic),
    };
    let (root, found) = match tree::parse(text, limits) {
        Ok(parsed) => parsed,
        Err(diagnostic) => return Loaded::refused(diagnostic),
    };
    let Some(root) = root.filter(|root| !root.is_null()) else {
        return Loaded::refused(
            Diagnostic::error(code::EMPTY, Span::default(), format!("{file_name} holds no definition"))
                .with_help("a definition begins with `job_type: name` and `tasks:`"),
        );
    };
    let mut walk = Walk::new(*limits);
    walk.problems.extend(found);
    let definition = walk.job(&root);
    drop(root);
    let mut uses = ConfigUses::default();
    if let Some(definition) = &definition {
        uses = super::check::check(definition, text, walk.graph_incomplete, configs, &mut walk.problems);
    }
    let definition = definition.filter(|_| !walk.problems.has_errors());
    Loaded { definition, diagnostics: walk.problems.finish(limits.problems), uses }
}

/// Reads YAML that is no definition, such as a file of settings, with the same limits and the same messages about its
/// syntax.
pub fn read_yaml(file_name: &str, source: &[u8]) -> Result<serde_json::Value, Vec<Diagnostic>> {
    let limits = Limits::default();
    let text = readable(file_name, source, &limits).map_err(|diagnostic| vec![*diagnostic])?;
    let (root, found) = tree::parse(text, &limits).map_err(|diagnostic| vec![diagnostic])?;
    if found.is_empty() { Ok(root.map_or(serde_json::Value::Null, |root| root.to_json())) } else { Err(found) }
}

fn readable<'s>(file_name: &str, source: &'s [u8], limits: &Limits) -> Result<&'s str, Box<Diagnostic>> {
    let refuse = |code, at: usize, message: String, help: &str| {
        Err(Box::new(Diagnostic::error(code, Span { start: at, end: at }, message).with_help(help)))
    };
    if source.len() > limits.source_bytes {
        let (size, limit) = (source.len(), limits.source_bytes);
        return refuse(
            code::TOO_LARGE,
            0,
            format!("{file_name} has {size} bytes, and a definition may have {limit}"),
            "move long scripts and data into files of the repository",
        );
    }
    let binary = |byte: &u8| *byte == 0 || (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | 0x0c));
    if let Some(at) = source.iter().position(binary) {
        let (byte, line) = (source[at], tree::line_of(source, at));
        return refuse(
            code::BINARY,
            0,
            format!("{file_name} is a binary file: byte {byte:#04x} stands at offset {at}, line {line}"),
            "a definition is a YAML text in UTF-8",
        );
    }
    let text = match std::str::from_utf8(source) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let line = tree::line_of(source, at);
            return refuse(
                code::ENCODING,
                at,
                format!("{file_name} is not UTF-8: byte {:#04x} at offset {at}, line {line}", source[at]),
                "save the file as UTF-8",
            );
        }
    };
    if text
        .trim_start_matches('\u{feff}')
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return refuse(
            code::EMPTY,
            0,
            format!("{file_name} is empty"),
            "a definition begins with `job_type: name` and `tasks:`",
        );
    }
    Ok(text)
}
