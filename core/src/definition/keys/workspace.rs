//! The workspace of a job and the caches of tasks.

use super::{DURATION, Shape, Vocabulary, key};

/// A number of bytes.
const SIZE: Shape = Shape::Form("size", "^[0-9]+ *([KMGTkmgt][Ii]?)?[Bb]$");

pub(in super::super) const WORKSPACE: Vocabulary = Vocabulary {
    what: "workspace",
    keys: &[
        key("scope", Shape::Choice(&["job"]), "workspace", "Who shares it: the tasks of one job.").default("job"),
        key(
            "keep",
            Shape::Choice(&["never", "on_failure", "always"]),
            "workspace",
            "Whether it stays when the job is over. `on_failure`: unless the job is COMPLETED.",
        )
        .default("on_failure"),
        key("ttl", DURATION, "workspace", "How long a kept one stays. One with unpushed work stays longer.")
            .default("7d"),
        key(
            "size_limit",
            Shape::OrTemplate(&SIZE),
            "workspace",
            "The most bytes that it may have after a task; beyond it the attempt is `INVALID`.",
        ),
        key(
            "git",
            Shape::Mapping(&WORKSPACE_GIT),
            "workspace-git",
            "A worktree of a repository instead of an empty directory.",
        ),
    ],
    later: &[],
    foreign: &[("repo", "git"), ("repository", "git"), ("max_size", "size_limit"), ("retention", "ttl")],
};

pub(in super::super) const WORKSPACE_GIT: Vocabulary = Vocabulary {
    what: "workspace.git",
    keys: &[
        key(
            "url",
            Shape::Template,
            "workspace-git",
            "Address of the repository: a URL (`https`, `http`, `ssh`, `git`, `file`), `user@host:path`, or an absolute path.",
        )
        .required(),
        key(
            "ref",
            Shape::TemplateScalar,
            "workspace-git",
            "The branch, tag, full ref or commit to begin with.",
        )
        .default("the default branch of the repository"),
        key(
            "branch",
            Shape::TemplateScalar,
            "workspace-git",
            "The branch that is made there. One that exists already makes the attempt `INVALID`: put `{{ Nonce }}` into \
             the name.",
        )
        .default("none: a detached HEAD"),
        key(
            "discard_unpushed",
            Shape::Boolean,
            "workspace-git",
            "The workspace may be removed with work in it that is on no branch of the remote.",
        )
        .default("false"),
    ],
    later: &[],
    foreign: &[("repository", "url"), ("repo", "url"), ("remote", "url"), ("revision", "ref"), ("tag", "ref")],
};

pub(in super::super) const CACHE: Vocabulary = Vocabulary {
    what: "cache",
    keys: &[
        key(
            "key",
            Shape::TemplateScalar,
            "cache",
            "What the files are stored and found under, at most 512 bytes. Name in it what they depend on.",
        )
        .required(),
        key(
            "paths",
            Shape::List(&Shape::Template, 1, usize::MAX),
            "cache",
            "Files and directories, relative to the task's directory or beginning with `$JOB_WORKSPACE/`.",
        )
        .required(),
        key(
            "restore_keys",
            Shape::List(&Shape::Template, 0, 20),
            "cache",
            "Where nothing is stored under `key`: beginnings of other keys, tried in order. Of several keys with the same \
             beginning the newest counts.",
        ),
    ],
    later: &[],
    foreign: &[("path", "paths"), ("restore-keys", "restore_keys"), ("fallback_keys", "restore_keys")],
};
