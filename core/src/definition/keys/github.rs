//! Keys of the method GITHUB.

use super::http::{allow, allow_private};
use super::{Shape, Vocabulary, key, list};

/// A list of names, one name, or a template that renders to either.
const NAMES: Shape = Shape::OneOf(&[list(&Shape::Template), Shape::Template]);
/// A number, or a template that renders to one.
const NUMBER: Shape = Shape::OneOf(&[Shape::Integer(1, u32::MAX), Shape::Template]);
const FLAG: Shape = Shape::OrTemplate(&Shape::Boolean);

pub(in super::super) const GITHUB: Vocabulary = Vocabulary {
    what: "github",
    keys: &[
        key(
            "operation",
            Shape::Choice(crate::definition::GithubOperation::WORDS),
            "github-issues",
            "What to do. Each writes only what is not there yet, so that doing it again changes nothing; its outputs are \
             in [GitHub](../github.md).",
        )
        .required(),
        key("repo", Shape::Template, "github-issues", "The repository, `owner/name`. All but `search_issues` need it."),
        key(
            "token",
            Shape::Text,
            "github-issues",
            "`${NAME}`: the variable of the task's `environment` that holds a token. Excludes `app`.",
        )
        .default("`${GITHUB_TOKEN}`"),
        key(
            "app",
            Shape::Mapping(&GITHUB_APP),
            "github-app",
            "Asks as a GitHub App, with tokens that the ant gets and renews itself.",
        ),
        key(
            "login",
            Shape::Template,
            "github-comment",
            "Whom GitHub knows the token as, where it does not say so itself: the tokens of installations, such as that of \
             GitHub Actions (`github-actions[bot]`).",
        )
        .default("asked of GitHub"),
        key(
            "api_url",
            Shape::Template,
            "github-issues",
            "Where the API is: `https://github.example.com/api/v3` for GitHub Enterprise.",
        )
        .default("`https://api.github.com`"),
        key(
            "request_timeout",
            Shape::Duration,
            "github-issues",
            "How long one answer may take; the task's `timeout` is for all of them together.",
        )
        .default("30s"),
        allow("github-app"),
        allow_private("github-app"),
        key("number", NUMBER, "github-comment", "The issue or pull request."),
        key("labels", NAMES, "github-issues", "Of `list_issues`: issues that have all of these."),
        key(
            "state",
            Shape::OneOf(&[Shape::Choice(&["open", "closed", "all"]), Shape::Template]),
            "github-issues",
            "Of `list_issues` and `find_pull_request`: which are looked at. Of `update_pull_request`: what it becomes.",
        )
        .default("`open`"),
        key(
            "assignee",
            Shape::Template,
            "github-issues",
            "Of `list_issues`: issues of this person, of nobody (`none`), or of anybody (`*`).",
        ),
        key("since", Shape::Template, "github-issues", "Of `list_issues`: issues that changed after this instant."),
        key(
            "trusted",
            NAMES,
            "github-issues",
            "Whose words have `trusted: true`: by their association with the repository, as GitHub names it.",
        )
        .default("`[OWNER, MEMBER, COLLABORATOR]`"),
        key(
            "trusted_only",
            FLAG,
            "github-issues",
            "Of `list_issues` and `search_issues`: only issues whose authors are trusted.",
        )
        .default("false"),
        key(
            "order",
            Shape::OneOf(&[Shape::Choice(&["oldest", "newest"]), Shape::Template]),
            "github-issues",
            "Of `list_issues` and `search_issues`: which come first, by when they were opened.",
        )
        .default("`oldest`"),
        key(
            "limit",
            Shape::OneOf(&[Shape::Integer(1, 1_000), Shape::Template]),
            "github-issues",
            "Of `list_issues` and `search_issues`: at most so many; whether there are others is the output `more`.",
        )
        .default("100"),
        key("query", Shape::Template, "github-search", "Of `search_issues`: what to look for, in GitHub's own words."),
        key(
            "comments",
            Shape::OneOf(&[Shape::Integer(0, 1_000), Shape::Template]),
            "github-comment",
            "Of `get_issue`: at most so many comments, the oldest first.",
        )
        .default("100"),
        key("add", NAMES, "github-labels", "Of `set_labels`: labels that it gets."),
        key("remove", NAMES, "github-labels", "Of `set_labels`: labels that it loses."),
        key(
            "replace",
            NAMES,
            "github-labels",
            "Of `set_labels`: the labels that it has afterwards, and no others. Excludes `add` and `remove`.",
        ),
        key(
            "body",
            Shape::Template,
            "github-comment",
            "What a comment or a pull request says. An invisible mark at its end tells Atta that it has been said.",
        ),
        key(
            "key",
            Shape::Template,
            "github-comment",
            "Of `comment`: tells comments of one task apart, for example those that answer different people. The same key \
             is the same comment, whose text is brought up to date.",
        ),
        key(
            "reply_to",
            NUMBER,
            "github-activity",
            "Of `comment`: the review comment that it answers, in its own thread.",
        ),
        key("title", Shape::Template, "github-pull-request", "Of a pull request."),
        key(
            "head",
            Shape::Template,
            "github-pull-request",
            "The branch with the changes; `owner:branch` when it is in a fork.",
        ),
        key("base", Shape::Template, "github-pull-request", "The branch that they are for.")
            .default("the repository's default branch"),
        key("draft", FLAG, "github-pull-request", "Of `create_pull_request`: a draft.").default("false"),
        key(
            "cursor",
            Shape::Any,
            "github-activity",
            "Of `pr_activity`: the output of the same name of the time before; without one everything is new.",
        ),
        key("reviewers", NAMES, "github-pull-request", "Of `request_review`: logins."),
        key("team_reviewers", NAMES, "github-pull-request", "Of `request_review`: teams of the organisation."),
        key("branch", Shape::Template, "github-branch", "Of `create_branch` and `delete_branch`: its name."),
        key("from", Shape::Template, "github-branch", "Of `create_branch`: a branch or a commit.")
            .default("the repository's default branch"),
        key(
            "force",
            FLAG,
            "github-branch",
            "Of `delete_branch`: also when an open pull request needs it, which GitHub then closes.",
        )
        .default("false"),
        key(
            "reason",
            Shape::OneOf(&[Shape::Choice(&["completed", "not_planned"]), Shape::Template]),
            "github-labels",
            "Of `close_issue`.",
        )
        .default("`completed`"),
    ],
    later: &[],
    foreign: &[
        ("action", "operation"),
        ("repository", "repo"),
        ("issue", "number"),
        ("pr", "number"),
        ("pull_request", "number"),
        ("issue_number", "number"),
        ("label", "labels"),
        ("text", "body"),
        ("message", "body"),
        ("url", "api_url"),
        ("max", "limit"),
        ("per_page", "limit"),
    ],
};

pub(in super::super) const GITHUB_APP: Vocabulary = Vocabulary {
    what: "github.app",
    keys: &[
        key("id", Shape::TemplateScalar, "github-app", "The App's id, or its client id.").required(),
        key("installation", Shape::TemplateScalar, "github-app", "The id of its installation.")
            .default("that of `repo`, asked of GitHub"),
        key(
            "private_key",
            Shape::Text,
            "github-app",
            "`${NAME}`: the variable of the task's `environment` that holds the App's private key (PEM).",
        )
        .required(),
    ],
    later: &[],
    foreign: &[("app_id", "id"), ("client_id", "id"), ("installation_id", "installation"), ("key", "private_key")],
};
