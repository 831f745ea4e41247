//! Reading an attempt's outputs.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use atta_core::definition::{OutputSource, OutputSpec, ParamType, check_against_schema};
use atta_core::redact::Redactor;
use indexmap::IndexMap;
use serde_json::Value;

use super::artifacts::open_regular;
use super::inputs::is_plain_relative;

/// Longest file of outputs, and longest source of one output.
pub(crate) const LONGEST: u64 = 1 << 20;
/// Longest document of which an output is a part.
const LONGEST_DOCUMENT: u64 = 16 << 20;

/// What was read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) values: IndexMap<String, Value>,
    /// What makes an attempt that succeeded INVALID.
    pub(crate) problems: Vec<String>,
    /// There were secrets, which are not there any more.
    pub(crate) redacted: bool,
}

/// Keeps secrets out of what is read.
struct Cleaning<'r> {
    redactor: Option<&'r Redactor>,
    found: Cell<bool>,
}

/// Where values may come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// `$ATTA_OUTPUT`.
    pub(crate) file: PathBuf,
    /// TASK_DIR.
    pub(crate) work: PathBuf,
    /// What the task wrote to stdout, if an output wants it; `None` when that was too long.
    pub(crate) stdout: Option<Vec<u8>>,
    /// What it said by `::set-output`, of declared names only.
    pub(crate) spoken: IndexMap<String, String>,
    /// The body of the answer.
    pub(crate) body: Option<PathBuf>,
}

/// Reads `$ATTA_OUTPUT` and what the task declares. Blocks.
pub(crate) fn read(sources: &Sources, declared: &[OutputSpec], redactor: Option<&Redactor>) -> Outputs {
    let cleaning = Cleaning { redactor, found: Cell::new(false) };
    let mut outputs = Outputs::default();
    match read_limited(&sources.file, LONGEST, &cleaning) {
        Ok(None) => {}
        Ok(Some(text)) => match parse(&text) {
            Ok(values) => outputs.values = values,
            Err(problem) => outputs.problems.push(problem),
        },
        Err(problem) => outputs.problems.push(format!("the file $ATTA_OUTPUT {problem}")),
    }
    for spec in declared {
        match value_of(spec, &outputs.values, sources, &cleaning) {
            Ok(value) => {
                outputs.values.insert(spec.name.clone(), value);
            }
            Err(problem) => {
                outputs.values.shift_remove(&spec.name);
                outputs.problems.push(format!("the output `{}` {problem}", spec.name));
            }
        }
    }
    outputs.redacted = cleaning.found.get();
    outputs
}

/// `None` when there is no such file.
fn read_limited(path: &Path, longest: u64, cleaning: &Cleaning<'_>) -> Result<Option<String>, String> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > longest {
        return Err(format!("is longer than {longest} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    // Before anything of it is shown, shortened or taken apart.
    if cleaning.redactor.is_some_and(|redactor| redactor.clean(&mut text)) {
        cleaning.found.set(true);
    }
    Ok(Some(text))
}

/// A JSON object, or lines `name=value` and here-documents `name<<END … END`.
fn parse(text: &str) -> Result<IndexMap<String, Value>, String> {
    if text.trim_start().starts_with('{')
        && let Ok(values) = serde_json::from_str(text)
    {
        return Ok(values);
    }
    let mut values = IndexMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let fault = |what: &str| format!("line {} of $ATTA_OUTPUT {what}: `{}`", index + 1, shortened(line));
        let equals = line.find('=');
        let document = line.find("<<").filter(|at| equals.is_none_or(|equals| *at < equals));
        let (name, value) = if let Some(at) = document {
            let end = line[at + 2..].trim();
            let mut content: Vec<&str> = Vec::new();
            loop {
                match lines.next() {
                    Some((_, line)) if line == end => break,
                    Some((_, line)) => content.push(line),
                    None => return Err(fault(&format!("begins a value that no line `{end}` ends"))),
                }
            }
            (&line[..at], content.join("\n"))
        } else if let Some(at) = equals {
            (&line[..at], line[at + 1..].to_owned())
        } else {
            return Err(fault("is neither `name=value` nor `name<<END` nor part of a JSON object"));
        };
        let name = name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty()
            || !name.chars().all(plain)
            || name.starts_with(|c: char| !c.is_ascii_alphabetic() && c != '_')
        {
            return Err(fault("has no valid name (letters, digits, `_`, `-`, `.`)"));
        }
        values.insert(name.to_owned(), Value::String(value));
    }
    Ok(values)
}

fn shortened(line: &str) -> String {
    let short: String = line.chars().take(60).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

fn value_of(
    spec: &OutputSpec,
    written: &IndexMap<String, Value>,
    sources: &Sources,
    cleaning: &Cleaning<'_>,
) -> Result<Value, String> {
    let spoken = || sources.spoken.get(&spec.name).cloned().map(Value::String);
    let value = match &spec.source {
        OutputSource::OutputFile => written
            .get(&spec.name)
            .cloned()
            .or_else(spoken)
            .ok_or_else(|| "is declared, but the task did not write it to $ATTA_OUTPUT".to_owned())?,
        OutputSource::File(path) | OutputSource::Artifact(path) => {
            let work = &sources.work;
            let inside = is_plain_relative(path.trim_start_matches("./"))
                && work
                    .canonicalize()
                    .is_ok_and(|root| root.join(path).canonicalize().map_or(true, |file| file.starts_with(&root)));
            if !inside {
                return Err(format!("is read from `{path}`, which leads out of TASK_DIR"));
            }
            let file = work.join(path).canonicalize().unwrap_or_else(|_| work.join(path));
            match read_limited(&file, LONGEST, cleaning) {
                Ok(Some(text)) => Value::String(trimmed(&text).to_owned()),
                Ok(None) => return Err(format!("is read from `{path}`, which does not exist")),
                Err(problem) => return Err(format!("is read from `{path}`, which {problem}")),
            }
        }
        OutputSource::Stdout => {
            if let Some(value) = spoken() {
                value
            } else {
                let bytes = sources
                    .stdout
                    .as_deref()
                    .ok_or_else(|| format!("is read from stdout, which is longer than {LONGEST} bytes"))?;
                let text =
                    std::str::from_utf8(bytes).map_err(|_| "is read from stdout, which is not UTF-8".to_owned())?;
                Value::String(trimmed(text).to_owned())
            }
        }
        OutputSource::Body => {
            // Of a longer document a part may still be short.
            let longest = if spec.json_path.is_some() { LONGEST_DOCUMENT } else { LONGEST };
            match sources.body.as_deref().map(|path| read_limited(path, longest, cleaning)) {
                None | Some(Ok(None)) => {
                    return Err("is read from the body of the answer, and there was none".to_owned());
                }
                Some(Ok(Some(text))) => Value::String(text),
                Some(Err(problem)) => return Err(format!("is read from the body of the answer, which {problem}")),
            }
        }
    };
    let value = match &spec.json_path {
        None => value,
        Some(path) => {
            let document = match value {
                Value::String(text) => serde_json::from_str(&text)
                    .map_err(|error| format!("has a json_path, but its source is no JSON: {error}"))?,
                other => other,
            };
            follow(&document, path).cloned().ok_or_else(|| format!("is not in the document: there is no `{path}`"))?
        }
    };
    let value = match spec.output_type {
        None => schema_document(spec, value),
        Some(wanted) => typed(value, wanted)?,
    };
    if let Some(schema) = &spec.schema {
        check_against_schema(schema, &value).map_err(|problem| format!("does not match its schema: {problem}"))?;
    }
    if value.to_string().len() as u64 > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes"));
    }
    Ok(value)
}

fn trimmed(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn follow<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix('$').unwrap_or(path);
    path.split('.').filter(|part| !part.is_empty()).try_fold(document, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A schema without `type` beside it judges the document that a text holds, if it holds one that is no text itself.
fn schema_document(spec: &OutputSpec, value: Value) -> Value {
    let Some(schema) = &spec.schema else { return value };
    if let Value::String(text) = &value
        && check_against_schema(schema, &value).is_err()
        && let Ok(document) = serde_json::from_str::<Value>(text.trim())
    {
        return document;
    }
    value
}

/// Text becomes a value of the type where it reads as one.
fn typed(value: Value, wanted: ParamType) -> Result<Value, String> {
    let fits = |value: &Value| match wanted {
        ParamType::String => value.is_string(),
        ParamType::Integer => value.is_i64() || value.is_u64(),
        ParamType::Number => value.is_number(),
        ParamType::Boolean => value.is_boolean(),
        ParamType::Object => value.is_object(),
        ParamType::Array => value.is_array(),
    };
    if fits(&value) {
        return Ok(value);
    }
    if let Value::String(text) = &value
        && let Ok(read) = serde_json::from_str::<Value>(text.trim())
        && fits(&read)
    {
        return Ok(read);
    }
    let wanted = match wanted {
        ParamType::String => "a string",
        ParamType::Integer => "an integer",
        ParamType::Number => "a number",
        ParamType::Boolean => "a boolean",
        ParamType::Object => "an object",
        ParamType::Array => "an array",
    };
    Err(format!("must be {wanted}, but is `{}`", shortened(&value.to_string())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use atta_core::definition::Span;
    use serde_json::json;

    use super::*;

    fn spec(name: &str, source: OutputSource, json_path: Option<&str>, output_type: Option<ParamType>) -> OutputSpec {
        OutputSpec {
            name: name.to_owned(),
            source,
            json_path: json_path.map(str::to_owned),
            output_type,
            schema: None,
            span: Span::default(),
        }
    }

    fn read_text(text: &str, declared: &[OutputSpec]) -> Outputs {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("output");
        fs::write(&file, text).unwrap();
        read(
            &Sources { file, work: dir.path().to_owned(), stdout: Some(Vec::new()), ..Sources::default() },
            declared,
            None,
        )
    }

    #[test]
    fn lines_documents_and_objects_are_read() {
        let outputs = read_text("a=1\n\nb=x=y\nc<<EOF\nline 1\n\nline 3\nEOF\nd=\n", &[]);
        assert_eq!(outputs.problems, Vec::<String>::new());
        assert_eq!(json!(outputs.values), json!({"a": "1", "b": "x=y", "c": "line 1\n\nline 3", "d": ""}));
        let outputs = read_text(" {\"n\": 3, \"o\": {\"k\": [1, 2]}}\n", &[]);
        assert_eq!(json!(outputs.values), json!({"n": 3, "o": {"k": [1, 2]}}));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let problem = |text: &str| read_text(text, &[]).problems.join("; ");
        assert_eq!(
            problem("a=1\nnonsense\n"),
            "line 2 of $ATTA_OUTPUT is neither `name=value` nor `name<<END` nor part of a JSON object: `nonsense`"
        );
        assert_eq!(problem("c<<EOF\nx\n"), "line 1 of $ATTA_OUTPUT begins a value that no line `EOF` ends: `c<<EOF`");
        assert_eq!(
            problem("b c=1\n"),
            "line 1 of $ATTA_OUTPUT has no valid name (letters, digits, `_`, `-`, `.`): `b c=1`"
        );
        let long = "x".repeat(1_100_000);
        assert_eq!(problem(&format!("a={long}")), "the file $ATTA_OUTPUT is longer than 1048576 bytes");
    }

    #[test]
    fn declared_outputs_are_checked_and_others_are_kept() {
        use OutputSource::OutputFile;
        let declared = [
            spec("n", OutputFile, None, Some(ParamType::Integer)),
            spec("list", OutputFile, None, Some(ParamType::Array)),
            spec("deep", OutputFile, Some("a.1"), Some(ParamType::Boolean)),
            spec("text", OutputFile, None, Some(ParamType::String)),
            spec("bad", OutputFile, None, Some(ParamType::Integer)),
            spec("missing", OutputFile, None, None),
        ];
        let outputs = read_text("n=42\nlist=[1]\ndeep={\"a\":[0,true]}\ntext=7\nbad=four\nextra=e\n", &declared);
        assert_eq!(json!(outputs.values), json!({"n": 42, "list": [1], "deep": true, "text": "7", "extra": "e"}));
        assert_eq!(
            outputs.problems,
            [
                "the output `bad` must be an integer, but is `\"four\"`",
                "the output `missing` is declared, but the task did not write it to $ATTA_OUTPUT",
            ]
        );
    }

    #[test]
    fn files_and_stdout_are_sources() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("v.json"), "{\"cost\": 1.5, \"x\": {\"y\": \"z\"}}").unwrap();
        fs::write(dir.path().join("plain"), "two\nlines\n").unwrap();
        let file = |path: &str| OutputSource::File(path.to_owned());
        let declared = [
            spec("cost", file("v.json"), Some("$.cost"), Some(ParamType::Number)),
            spec("y", file("./v.json"), Some("x.y"), None),
            spec("plain", file("plain"), None, None),
            spec("out", OutputSource::Stdout, None, Some(ParamType::Boolean)),
            spec("none", file("v.json"), Some("q"), None),
            spec("gone", file("gone"), None, None),
            spec("escape", file("../output"), None, None),
            spec("nojson", file("plain"), Some("a"), None),
        ];
        let mut sources = Sources {
            file: dir.path().join("output"),
            work: dir.path().to_owned(),
            stdout: Some(b"true\n".to_vec()),
            ..Sources::default()
        };
        let outputs = read(&sources, &declared, None);
        assert_eq!(json!(outputs.values), json!({"cost": 1.5, "y": "z", "plain": "two\nlines", "out": true}));
        assert_eq!(outputs.problems[0], "the output `none` is not in the document: there is no `q`");
        assert_eq!(outputs.problems[1], "the output `gone` is read from `gone`, which does not exist");
        assert_eq!(outputs.problems[2], "the output `escape` is read from `../output`, which leads out of TASK_DIR");
        assert!(outputs.problems[3].starts_with("the output `nojson` has a json_path, but its source is no JSON"));
        sources.stdout = None;
        let outputs = read(&sources, &declared[3..4], None);
        assert_eq!(outputs.problems, ["the output `out` is read from stdout, which is longer than 1048576 bytes"]);
    }
}
