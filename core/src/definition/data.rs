//! Artifacts and outputs of a task.

use super::keys::{ARTIFACTS, OUTPUT};
use super::schema::check_schema;
use super::task::TYPES;
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero};
use super::{ArtifactsSpec, ArtifactsWhen, OutputSource, OutputSpec, Span, code};

impl Walk {
    pub(super) fn artifacts(&mut self, node: &Node<'_>) -> Option<ArtifactsSpec> {
        if let Kind::Sequence(_) = node.kind {
            self.wrong_type("artifacts", node, "a mapping", Some("write {paths: […]}".to_owned()));
            return None;
        }
        let entries = self.mapping("artifacts", node)?;
        let mut keys = Keys::new(entries);
        let paths = if let Some(entry) = keys.take("paths") {
            self.templates("artifacts.paths", &entry.value)
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`artifacts` needs `paths`",
                "name files or globs: `paths: [report.json, \"logs/**\"]`",
            );
            Vec::new()
        };
        for path in &paths {
            self.check_path("artifacts.paths", &path.source, path.span);
        }
        let mut exclude = Vec::new();
        if let Some(entry) = keys.take("exclude") {
            for item in self.list("artifacts.exclude", &entry.value).unwrap_or_default() {
                if let Some(path) = self.text("an entry of artifacts.exclude", item) {
                    self.check_plain_path("artifacts.exclude", &path, item.span);
                    exclude.push(path);
                }
            }
        }
        let when = keys.take("when").and_then(|entry| {
            self.choice(
                "artifacts.when",
                &entry.value,
                &[
                    ("always", ArtifactsWhen::Always),
                    ("on_success", ArtifactsWhen::OnSuccess),
                    ("on_failure", ArtifactsWhen::OnFailure),
                ],
            )
        });
        let name = keys.take("name").and_then(|entry| {
            let name = self.spelling("artifacts.name", &entry.value)?;
            if !super::names::is_task_name(&name) {
                self.problems.error_with_help(
                    code::NAME,
                    entry.value.span,
                    format!("\"{}\" cannot be the name of a group of artifacts", super::scalar::shortened(&name)),
                    "it takes letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first",
                );
            }
            Some(name)
        });
        let expire_after = self.optional_duration(&mut keys, "expire_after", Zero::Refused);
        self.unknown_keys(&keys, &ARTIFACTS);
        Some(ArtifactsSpec { paths, exclude, when: when.unwrap_or_default(), name, expire_after })
    }

    pub(super) fn check_path(&mut self, key: &str, path: &str, span: Span) {
        let reason = if path.trim().is_empty() {
            "is empty"
        } else if path.starts_with('/') || path.starts_with('~') {
            "is absolute"
        } else if path.split('/').any(|part| part == "..") {
            "leads out of the task's directory"
        } else if path.contains('\0') || path.contains('\n') {
            "contains a line break"
        } else {
            return;
        };
        self.problems.error_with_help(
            code::PATH,
            span,
            format!("the path \"{}\" in `{key}` {reason}", super::scalar::shortened(path)),
            "paths are relative to the directory in which the task runs, without `..`",
        );
    }

    /// A path in which no template may stand; one that looks like it would name a file that never exists.
    pub(super) fn check_plain_path(&mut self, key: &str, path: &str, span: Span) {
        if path.contains("{{") || path.contains("{%") {
            self.problems.error_with_help(
                code::PATH,
                span,
                format!("the path \"{}\" in `{key}` is no template", super::scalar::shortened(path)),
                "write the name as it is, and let the script use the same one",
            );
        } else {
            self.check_path(key, path, span);
        }
    }

    pub(super) fn outputs(&mut self, node: &Node<'_>) -> Vec<OutputSpec> {
        let mut outputs: Vec<OutputSpec> = Vec::new();
        match &node.kind {
            Kind::Sequence(items) => {
                for item in items.iter() {
                    let Some(name) = self.text("an entry of outputs", item) else { continue };
                    self.check_identifier("an output", &name, item.span);
                    let source = self.plain_source();
                    outputs.push(OutputSpec {
                        name,
                        source,
                        json_path: None,
                        output_type: None,
                        schema: None,
                        span: item.span,
                    });
                }
            }
            Kind::Mapping(entries) => {
                for entry in entries.iter() {
                    self.check_identifier("an output", &entry.key, entry.key_span);
                    outputs.extend(self.output(entry));
                }
            }
            _ => self.wrong_type("outputs", node, "a list of names or a mapping", None),
        }
        let mut seen = std::collections::HashSet::new();
        for output in &outputs {
            if !seen.insert(output.name.as_str()) {
                let message = format!("the output {} is declared twice", output.name);
                self.problems.error(code::CONFLICT, output.span, message);
            }
        }
        outputs
    }

    fn output(&mut self, entry: &Entry<'_>) -> Option<OutputSpec> {
        let name = entry.key.to_string();
        let plain = |source| OutputSpec {
            name: name.clone(),
            source,
            json_path: None,
            output_type: None,
            schema: None,
            span: entry.key_span,
        };
        if entry.value.is_null() {
            return Some(plain(self.plain_source()));
        }
        let entries = self.mapping(&format!("outputs.{name}"), &entry.value)?;
        let mut keys = Keys::new(entries);
        let file = keys.take("file");
        let from = keys.take("from").and_then(|from| {
            let text = self.text("from", &from.value)?;
            if self.http_task && matches!(text.as_str(), "output" | "stdout") {
                self.problems.error_with_help(
                    code::OPTION,
                    from.value.span,
                    format!("a request writes no {text}: the output {name} cannot come from there"),
                    "write `from: body`",
                );
                return None;
            }
            if !self.http_task && text == "body" {
                self.problems.error_with_help(
                    code::OPTION,
                    from.value.span,
                    "`from: body` is the body of an HTTP answer, and this task makes no request",
                    "write `from: file` or `from: stdout`",
                );
                return None;
            }
            let choices = [
                ("output", From::Output),
                ("stdout", From::Stdout),
                ("file", From::File),
                ("artifact", From::Artifact),
                ("body", From::Body),
            ];
            self.choice("from", &from.value, &choices)
        });
        let json_path = keys.take("json_path").and_then(|e| self.json_path(&e.value));
        let output_type = keys.take("type").and_then(|e| self.choice("type", &e.value, &TYPES));
        let schema = keys.take("schema").and_then(|e| self.json_schema(&format!("the output {name}"), &e.value));
        self.unknown_keys(&keys, &OUTPUT);
        let source = match (from, file) {
            (None | Some(From::File), Some(file)) => {
                let path = self.text("file", &file.value)?;
                self.check_plain_path("file", &path, file.value.span);
                OutputSource::File(path)
            }
            (Some(From::Artifact), Some(file)) => {
                let path = self.text("file", &file.value)?;
                self.check_plain_path("file", &path, file.value.span);
                OutputSource::Artifact(path)
            }
            (Some(source @ (From::File | From::Artifact)), None) => {
                let what = if matches!(source, From::File) { "a file" } else { "an artifact" };
                self.problems.error_with_help(
                    code::MISSING_KEY,
                    entry.value.span,
                    format!("the output {name} comes from {what}, and `file` is missing"),
                    "write {file: verdict.json, json_path: status}",
                );
                return None;
            }
            (Some(_), Some(file)) => {
                self.problems.error(
                    code::CONFLICT,
                    file.key_span,
                    "`file` goes with `from: file` and `from: artifact` only",
                );
                return None;
            }
            (Some(From::Stdout), None) => OutputSource::Stdout,
            (Some(From::Body), None) => OutputSource::Body,
            (None, None) if self.http_task => OutputSource::Body,
            (Some(From::Output) | None, None) => OutputSource::OutputFile,
        };
        Some(OutputSpec { json_path, output_type, schema, ..plain(source) })
    }

    pub(super) fn json_path(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.spelling("json_path", node)?;
        let path = text.strip_prefix("$.").unwrap_or(&text);
        if path.is_empty() || path.split('.').any(str::is_empty) || path.contains(['[', ']', '*', '$', ' ']) {
            self.problems.error_with_help(
                code::VALUE,
                node.span,
                format!("\"{}\" is not a path into a JSON document", super::scalar::shortened(&text)),
                "write keys and positions with dots: verdict.tests.0.name",
            );
            return None;
        }
        Some(path.to_owned())
    }

    /// A JSON Schema; `of` is what it describes.
    pub(super) fn json_schema(&mut self, of: &str, node: &Node<'_>) -> Option<serde_json::Value> {
        let schema = node.to_json();
        match check_schema(&schema) {
            Ok(()) => Some(schema),
            Err(message) => {
                self.problems.error_with_help(
                    code::SCHEMA,
                    node.span,
                    format!("the schema of {of} is not valid: {message}"),
                    "it is a JSON Schema of the draft 2020-12, written as YAML",
                );
                None
            }
        }
    }

    /// Where an output comes from when nothing is said.
    fn plain_source(&self) -> OutputSource {
        if self.http_task { OutputSource::Body } else { OutputSource::OutputFile }
    }
}

#[derive(Debug, Clone, Copy)]
enum From {
    Output,
    Stdout,
    File,
    Artifact,
    Body,
}
