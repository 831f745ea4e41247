//! What a task does: its method, and the options that belong to it.

use super::scalar::Meaning;
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk};
use super::{Method, Program, ShellOptions, Span, TemplateText, code};

/// A method by the word that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// As it is written.
    pub(super) name: &'static str,
    pub(super) kind: MethodKind,
}

/// What a method is, before its options are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MethodKind {
    Shell,
    Http(&'static str),
    Agent,
    Github,
    SubmitJobs,
    ForkJob,
    AwaitForkedJob,
    Approval,
    ExpireArtifacts,
    /// Its machinery comes later.
    Later,
}

const fn word(name: &'static str, kind: MethodKind) -> Word {
    Word { name, kind }
}

const WORDS: [Word; 17] = [
    word("SHELL", MethodKind::Shell),
    word("HTTP_GET", MethodKind::Http("GET")),
    word("HTTP_POST", MethodKind::Http("POST")),
    word("HTTP_PUT", MethodKind::Http("PUT")),
    word("HTTP_PATCH", MethodKind::Http("PATCH")),
    word("HTTP_DELETE", MethodKind::Http("DELETE")),
    word("SUBMIT_JOBS", MethodKind::SubmitJobs),
    word("FORK_JOB", MethodKind::ForkJob),
    word("AWAIT_FORKED_JOB", MethodKind::AwaitForkedJob),
    word("APPROVAL", MethodKind::Approval),
    word("MANUAL", MethodKind::Approval),
    word("EXPIRE_ARTIFACTS", MethodKind::ExpireArtifacts),
    word("AGENT", MethodKind::Agent),
    word("DOCKER", MethodKind::Later),
    word("KUBERNETES", MethodKind::Later),
    word("GITHUB", MethodKind::Github),
    word("HTTP", MethodKind::Later),
];

/// Keys that are options of some methods only, and the words of those methods. A key that alone says what the method is
/// (see [`IMPLIED`]) is among them.
const OPTIONS: &[(&str, &[&str])] = &[
    ("script", &["SHELL"]),
    ("before_script", &["SHELL"]),
    ("after_script", &["SHELL"]),
    ("shell", &["SHELL"]),
    ("interpreter", &["SHELL"]),
    ("tty", &["SHELL"]),
    ("url", HTTP),
    ("headers", HTTP),
    ("query", HTTP),
    ("body", HTTP),
    ("json", HTTP),
    ("form", HTTP),
    ("http", HTTP),
    ("github", &["GITHUB"]),
    ("submit", &["SUBMIT_JOBS"]),
    ("sub_workflow", &["FORK_JOB"]),
    ("await_forked_tasks", &["AWAIT_FORKED_JOB"]),
    ("approval", &["APPROVAL"]),
    ("expire", &["EXPIRE_ARTIFACTS"]),
    ("agent", &["AGENT"]),
    ("container", &["DOCKER", "KUBERNETES"]),
    ("image", &["DOCKER", "KUBERNETES"]),
];

const HTTP: &[&str] = &["HTTP_GET", "HTTP_POST", "HTTP_PUT", "HTTP_PATCH", "HTTP_DELETE"];

/// Keys that say what the method is when `method` is absent.
const IMPLIED: [(&str, MethodKind); 7] = [
    ("github", MethodKind::Github),
    ("sub_workflow", MethodKind::ForkJob),
    ("submit", MethodKind::SubmitJobs),
    ("await_forked_tasks", MethodKind::AwaitForkedJob),
    ("approval", MethodKind::Approval),
    ("agent", MethodKind::Agent),
    ("container", MethodKind::Later),
];

/// Shells whose quoting the template engine knows.
const SHELLS: [&str; 5] = ["bash", "sh", "dash", "ash", "ksh"];

impl Walk {
    /// The method with its options. A method that cannot be read is replaced by an empty SHELL one, after the report.
    pub(super) fn method(&mut self, keys: &mut Keys<'_, '_>, defaults: &[Entry<'_>], task_span: Span) -> Method {
        let given = keys.take("method");
        let kind = match given {
            Some(entry) => self.method_kind(&entry.value),
            None => {
                Some(IMPLIED.iter().find(|(key, _)| keys.has(key)).map_or(MethodKind::Shell, |(_, implied)| *implied))
            }
        };
        let nothing = || {
            Method::Shell(ShellOptions {
                before_script: vec![],
                script: vec![],
                after_script: vec![],
                program: Program::DefaultShell,
                tty: false,
            })
        };
        let Some(kind) = kind else {
            Self::drop_options(keys);
            return nothing();
        };
        if kind == MethodKind::Later {
            if let Some(entry) = given {
                let word = self.text("method", &entry.value).unwrap_or_default();
                self.unsupported(entry.value.span, &format!("the method {word}"));
                Self::drop_options(keys);
            } else {
                // The key that chose it is refused by name.
                for key in ["script", "before_script", "after_script", "shell", "interpreter", "tty"] {
                    keys.take(key);
                }
            }
            return nothing();
        }
        self.refuse_foreign_options(keys, kind, defaults);
        match kind {
            MethodKind::Shell => self.shell_options(keys, task_span),
            MethodKind::Agent => self.agent_options(keys, task_span).unwrap_or_else(nothing),
            MethodKind::Http(verb) => self.http_options(keys, verb, task_span),
            MethodKind::Github => self.github_options(keys, task_span).unwrap_or_else(nothing),
            MethodKind::SubmitJobs => self.submit_options(keys, task_span).unwrap_or_else(nothing),
            MethodKind::ForkJob => self.fork_options(keys, task_span).unwrap_or_else(nothing),
            MethodKind::AwaitForkedJob => self.await_options(keys, task_span).unwrap_or_else(nothing),
            MethodKind::Approval => Method::Approval(self.approval_options(keys)),
            MethodKind::ExpireArtifacts => self.expire_options(keys, task_span),
            MethodKind::Later => nothing(),
        }
    }

    fn method_kind(&mut self, node: &Node<'_>) -> Option<MethodKind> {
        let word = self.text("method", node)?;
        if let Some(found) = WORDS.iter().find(|known| known.name == word) {
            return Some(found.kind);
        }
        let help = match self.problems.suggestion(&word, WORDS.iter().map(|known| known.name)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "a task without `method` runs its `script` in a shell".to_owned(),
        };
        let shown = super::scalar::shortened(&word);
        self.problems.error_with_help(code::VALUE, node.span, format!("there is no method \"{shown}\""), help);
        None
    }

    /// Options of a method that has been refused would only repeat that.
    fn drop_options(keys: &mut Keys<'_, '_>) {
        for (key, _) in OPTIONS {
            keys.take(key);
        }
    }

    fn refuse_foreign_options(&mut self, keys: &mut Keys<'_, '_>, kind: MethodKind, defaults: &[Entry<'_>]) {
        let own: Vec<&str> = WORDS.iter().filter(|word| word.kind == kind).map(|word| word.name).collect();
        let name = own.first().copied().unwrap_or_default();
        let foreign: Vec<_> = keys
            .unread()
            .filter_map(|entry| OPTIONS.iter().find(|(key, _)| *entry.key == **key).map(|option| (entry, option)))
            .filter(|(_, (_, methods))| !methods.iter().any(|method| own.contains(method)))
            .collect();
        for (entry, (key, methods)) in foreign {
            // Some of them are keys of the language that come later: those are refused by name.
            if *key == "container" {
                continue;
            }
            keys.take(key);
            // What `defaults` say concerns the tasks that can have it.
            if defaults.iter().any(|default| std::ptr::eq(default, entry)) {
                continue;
            }
            let belongs = if methods.len() > 2 { "the HTTP methods".to_owned() } else { methods.join(" and ") };
            let mine: Vec<String> = OPTIONS
                .iter()
                .filter(|(_, methods)| methods.iter().any(|method| own.contains(method)))
                .map(|(key, _)| (*key).to_owned())
                .collect();
            self.problems.error_with_help(
                code::OPTION,
                entry.key_span,
                format!("`{key}` is an option of {belongs}, and this is a task of the method {name}"),
                format!("{name} has {}", mine.join(", ")),
            );
        }
    }

    fn shell_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Method {
        let mut texts = |walk: &mut Self, key: &str| -> Vec<TemplateText> {
            keys.take(key).map(|entry| walk.templates(key, &entry.value)).unwrap_or_default()
        };
        let (before_script, after_script) = (texts(self, "before_script"), texts(self, "after_script"));
        let entry = keys.take("script");
        let script = entry.map(|entry| self.templates("script", &entry.value)).unwrap_or_default();
        let program = self.program(keys);
        let tty = self.optional(keys, "tty", Self::boolean).unwrap_or(false);
        // Keys that choose another method are refused by name, so a missing script says nothing new.
        let other = keys.has("container");
        match entry {
            None if !other => self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this task has no `script`",
                "give it commands: `script: [\"make test\"]`",
            ),
            Some(entry) if matches!(&entry.value.kind, Kind::Sequence(items) if items.is_empty()) => {
                self.problems.error_with_help(
                    code::VALUE,
                    entry.value.span,
                    "`script` is empty",
                    "a task that only routes can say `script: [\"true\"]`",
                );
            }
            _ => {}
        }
        Method::Shell(ShellOptions { before_script, script, after_script, program, tty })
    }

    fn program(&mut self, keys: &mut Keys<'_, '_>) -> Program {
        let (shell, interpreter) = (keys.take("shell"), keys.take("interpreter"));
        if let (Some(_), Some(interpreter)) = (shell, interpreter) {
            self.problems.error(
                code::CONFLICT,
                interpreter.key_span,
                "`shell` and `interpreter` exclude each other: a script is given to one program",
            );
        }
        if let Some(entry) = interpreter {
            return self.command_line("interpreter", &entry.value).map_or(Program::DefaultShell, Program::Interpreter);
        }
        let Some(entry) = shell else { return Program::DefaultShell };
        let Some(words) = self.command_line("shell", &entry.value) else { return Program::DefaultShell };
        let name = words[0].rsplit('/').next().unwrap_or_default();
        if !SHELLS.contains(&name) {
            self.problems.error_with_help(
                code::VALUE,
                entry.value.span,
                format!("`shell` must be {}, and this is \"{name}\"", super::walk::one_of(&SHELLS)),
                "any other program can be an `interpreter`",
            );
        }
        Program::Shell(words)
    }

    /// A program and its arguments: a list, or the program alone.
    fn command_line(&mut self, key: &str, node: &Node<'_>) -> Option<Vec<String>> {
        let words: Vec<String> = match &node.kind {
            Kind::Scalar(scalar) if scalar.meaning() != Meaning::Null => {
                scalar.text.split_whitespace().map(str::to_owned).collect()
            }
            Kind::Sequence(items) => {
                items.iter().filter_map(|item| self.spelling(&format!("an entry of {key}"), item)).collect()
            }
            _ => {
                self.wrong_type(key, node, "a program and its arguments", None);
                return None;
            }
        };
        if words.first().is_none_or(String::is_empty) {
            self.problems.error(code::VALUE, node.span, format!("`{key}` names no program"));
            return None;
        }
        if words.iter().any(|word| word.contains("{{")) {
            self.problems.error(code::VALUE, node.span, format!("`{key}` cannot hold a template"));
            return None;
        }
        Some(words)
    }
}
