//! The job key `workspace`: a directory that the tasks of a job share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::git_names::{GitName, check_git_name, check_git_url};
use super::keys::{WORKSPACE, WORKSPACE_GIT};
use super::scalar::Meaning;
use super::tree::{Entry, Kind, Node};
use super::walk::{Keys, Walk, Zero, whole_template};
use super::{Field, TemplateText, code, parse_size};

/// How long a kept workspace stays unless the definition says otherwise.
const DEFAULT_TTL: Duration = Duration::from_hours(7 * 24);

/// A directory that the tasks of a job share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// Whether it stays when the job is over.
    pub keep: KeepWorkspace,
    /// How long a kept one stays.
    pub ttl: Field<Duration>,
    /// The most bytes that it may have after a task.
    pub size_limit: Option<Field<u64>>,
    /// A worktree of a repository instead of an empty directory.
    pub git: Option<WorkspaceGit>,
}

/// Whether a workspace stays when its job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepWorkspace {
    /// It goes.
    Never,
    /// It stays unless the job is COMPLETED.
    #[default]
    OnFailure,
    /// It stays.
    Always,
}

/// What a workspace holds at the beginning. The templates know params, job variables and what is known of the job: the
/// workspace is made before its first task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceGit {
    /// Address of the repository.
    pub url: TemplateText,
    /// Branch, tag or commit to begin with; the default branch of the repository when absent.
    pub reference: Option<TemplateText>,
    /// The branch that is made; none when absent (a detached HEAD).
    pub branch: Option<TemplateText>,
    /// Work that is on no branch of the remote may be removed with the workspace.
    pub discard_unpushed: bool,
}

impl Walk {
    pub(super) fn workspace(&mut self, node: &Node<'_>) -> Option<WorkspaceSpec> {
        let entries = self.mapping("workspace", node)?;
        let mut keys = Keys::new(entries);
        keys.take("scope").and_then(|entry| self.choice("workspace.scope", &entry.value, &[("job", ())]));
        let keep = keys.take("keep").and_then(|entry| {
            let choices = [
                ("never", KeepWorkspace::Never),
                ("on_failure", KeepWorkspace::OnFailure),
                ("always", KeepWorkspace::Always),
            ];
            self.choice("workspace.keep", &entry.value, &choices)
        });
        let ttl = self.optional_duration(&mut keys, "ttl", Zero::Refused);
        let size_limit = keys.take("size_limit").and_then(|entry| self.size_field("size_limit", &entry.value));
        let git = keys.take("git").and_then(|entry| self.workspace_git(entry));
        self.unknown_keys(&keys, &WORKSPACE);
        Some(WorkspaceSpec {
            keep: keep.unwrap_or_default(),
            ttl: ttl.unwrap_or(Field::Value(DEFAULT_TTL)),
            size_limit,
            git,
        })
    }

    fn workspace_git(&mut self, entry: &Entry<'_>) -> Option<WorkspaceGit> {
        let entries = self.mapping("workspace.git", &entry.value)?;
        let mut keys = Keys::new(entries);
        let url = self.optional(&mut keys, "url", Self::template);
        let reference = self.optional(&mut keys, "ref", Self::template_spelling);
        let branch = self.optional(&mut keys, "branch", Self::template_spelling);
        let discard_unpushed = self.optional(&mut keys, "discard_unpushed", Self::boolean).unwrap_or(false);
        self.unknown_keys(&keys, &WORKSPACE_GIT);
        if let Some(url) = &url {
            self.check_if_plain("workspace.git.url", url, check_git_url);
        }
        if let Some(reference) = &reference {
            self.check_if_plain("workspace.git.ref", reference, |name| check_git_name(GitName::Ref, name));
        }
        if let Some(branch) = &branch {
            self.check_if_plain("workspace.git.branch", branch, |name| check_git_name(GitName::Branch, name));
        }
        if url.is_none() && !keys.has("url") {
            self.problems.error_with_help(
                code::MISSING_KEY,
                entry.key_span,
                "`workspace.git` needs `url`",
                "name the repository: `git: {url: \"https://example.com/project.git\"}`",
            );
        }
        Some(WorkspaceGit { url: url?, reference, branch, discard_unpushed })
    }

    /// What holds no template is checked at once; the rest when it is rendered.
    fn check_if_plain(&mut self, key: &str, text: &TemplateText, check: impl Fn(&str) -> Result<(), String>) {
        if !text.source.contains('{')
            && let Err(message) = check(&text.source)
        {
            self.problems.error(code::VALUE, text.span, format!("`{key}`: {message}"));
        }
    }

    /// A number of bytes, or one whole template that renders to one.
    pub(super) fn size_field(&mut self, key: &str, node: &Node<'_>) -> Option<Field<u64>> {
        if let Some(template) = whole_template(node) {
            return Some(Field::Template(template));
        }
        let scalar = match &node.kind {
            Kind::Scalar(scalar) if !matches!(scalar.meaning(), Meaning::Null | Meaning::Boolean(_)) => scalar,
            _ => {
                self.wrong_type(key, node, "a size", Some("such as 500MB or 10GiB".to_owned()));
                return None;
            }
        };
        match parse_size(&scalar.text) {
            Ok(0) => {
                self.problems.error_with_help(
                    code::SIZE,
                    node.span,
                    format!("`{key}` must be more than 0"),
                    "leave the key out for no limit",
                );
                None
            }
            Ok(bytes) => Some(Field::Value(bytes)),
            Err(error) => {
                let message = format!("`{key}`: {}", error.message);
                self.problems.error_with_help(code::SIZE, node.span, message, error.help);
                None
            }
        }
    }
}
