//! `method: GITHUB`: its operations, what each takes, and how that is read.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::addresses::parse_rule;
use super::http::ExpandedText;
use super::job::variable;
use super::keys::{GITHUB, GITHUB_APP};
use super::scalar::shortened;
use super::tree::{Entry, Node};
use super::walk::{Keys, Walk, Zero, one_of};
use super::{ExpandedPart, Method, Span, TemplateText, VariableValue, code};

/// Where GitHub's API is when nothing else is said.
pub const GITHUB_API: &str = "https://api.github.com";
/// The variable that holds the token when nothing else is said.
pub const GITHUB_TOKEN: &str = "GITHUB_TOKEN";
/// Issues, or comments, that one attempt may ask for.
pub const MOST_LISTED: u64 = 1_000;

macro_rules! operations {
    ($($name:ident $word:literal $outputs:expr, $doc:literal;)*) => {
        /// What a GITHUB task does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum GithubOperation {
            $(#[doc = $doc] $name,)*
        }

        impl GithubOperation {
            /// All of them, as definitions write them.
            pub const ALL: &[(&'static str, Self)] = &[$(($word, Self::$name),)*];
            /// The words alone.
            pub const WORDS: &[&'static str] = &[$($word,)*];

            /// As definitions write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The outputs that it always has.
            pub fn outputs(self) -> &'static [&'static str] {
                match self { $(Self::$name => &$outputs,)* }
            }
        }
    };
}

operations! {
    ListIssues "list_issues" ["status", "issues", "count", "more"], "The issues of a repository that fit.";
    SearchIssues "search_issues" ["status", "issues", "count", "more"], "The issues that a search finds.";
    GetIssue "get_issue" ["status", "issue"], "An issue with its comments.";
    SetLabels "set_labels" ["status", "labels", "added", "removed"], "Changes the labels of an issue or pull request.";
    Comment "comment" ["status", "comment", "created"], "Says something once.";
    CreatePullRequest "create_pull_request" ["status", "pull_request", "created"],
        "Opens a pull request, unless there is one.";
    FindPullRequest "find_pull_request" ["status", "pull_request", "found"], "The pull request of a branch.";
    UpdatePullRequest "update_pull_request" ["status", "pull_request", "changed"], "Changes a pull request.";
    PrActivity "pr_activity" ["status", "pull_request", "activity", "checks", "cursor", "news"],
        "What has happened on a pull request since a cursor.";
    RequestReview "request_review" ["status", "pull_request", "requested"], "Asks people for a review.";
    CreateBranch "create_branch" ["status", "branch", "created"], "Makes a branch, unless there is one.";
    DeleteBranch "delete_branch" ["status", "deleted", "pull_request"], "Removes a branch that no open pull request needs.";
    CloseIssue "close_issue" ["status", "issue", "changed"], "Closes an issue.";
    ReopenIssue "reopen_issue" ["status", "issue", "changed"], "Opens an issue again.";
}

impl fmt::Display for GithubOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Options of `method: GITHUB`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GithubOptions {
    /// What it does.
    pub operation: GithubOperation,
    /// What the operation is given.
    pub settings: IndexMap<String, VariableValue>,
    /// Who asks.
    pub credential: GithubCredentialSpec,
    /// Whom GitHub knows the credential as, where it does not say so itself.
    pub login: Option<TemplateText>,
    /// Where the API is.
    pub api_url: TemplateText,
    /// How long one answer may take.
    pub request_timeout: Duration,
    /// Hosts and networks that may be private, if the ant lets definitions say so.
    pub allow: Vec<String>,
    /// The same for every private address.
    pub allow_private: bool,
}

/// Who asks GitHub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GithubCredentialSpec {
    /// Whoever the token belongs to.
    Token(ExpandedText),
    /// A GitHub App.
    App {
        /// Its id, or its client id.
        id: TemplateText,
        /// Its installation; without one, that of the repository.
        installation: Option<TemplateText>,
        /// Its private key, PEM.
        private_key: ExpandedText,
    },
}

impl GithubOptions {
    fn expanded(&self) -> &ExpandedText {
        match &self.credential {
            GithubCredentialSpec::Token(text) | GithubCredentialSpec::App { private_key: text, .. } => text,
        }
    }

    /// All templates but those of the settings.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateText> {
        let parts = self.expanded().parts.iter().filter_map(|part| match part {
            ExpandedPart::Text(template) => Some(template),
            ExpandedPart::Variable(..) => None,
        });
        let app = match &self.credential {
            GithubCredentialSpec::App { id, installation, .. } => {
                Some(std::iter::once(id).chain(installation.as_ref()))
            }
            GithubCredentialSpec::Token(_) => None,
        };
        std::iter::once(&self.api_url).chain(self.login.as_ref()).chain(parts).chain(app.into_iter().flatten())
    }

    /// The variables of the environment that the credential names.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Span)> {
        self.expanded().parts.iter().filter_map(|part| match part {
            ExpandedPart::Text(_) => None,
            ExpandedPart::Variable(name, span) => Some((name.as_str(), *span)),
        })
    }
}

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// `owner/name`.
    Repository,
    /// Any text.
    Text,
    /// A text that is not empty, on one line.
    Line,
    /// The number of an issue, pull request or comment.
    Number,
    /// A whole number from the first to [`MOST_LISTED`].
    Limit(u64),
    /// Yes or no.
    Flag,
    /// Names: a list, or one alone.
    Names,
    /// Names that stand for all there are to be: nothing at all is no list.
    WholeList,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An instant, RFC 3339.
    Instant,
    /// What an earlier attempt gave.
    Cursor,
    /// A number, or an empty text for none.
    Maybe,
}

use GithubOperation::{
    CloseIssue, Comment, CreateBranch, CreatePullRequest, DeleteBranch, FindPullRequest, GetIssue, ListIssues,
    PrActivity, ReopenIssue, RequestReview, SearchIssues, SetLabels, UpdatePullRequest,
};

/// One setting: its key, what it takes, the operations that need it, and those that can have it.
type Setting = (&'static str, Wanted, &'static [GithubOperation], &'static [GithubOperation]);

const STATES: &[&str] = &["open", "closed", "all"];

const SETTINGS: &[Setting] = &[
    (
        "repo",
        Wanted::Repository,
        &[
            ListIssues,
            GetIssue,
            SetLabels,
            Comment,
            CreatePullRequest,
            FindPullRequest,
            UpdatePullRequest,
            PrActivity,
            RequestReview,
            CreateBranch,
            DeleteBranch,
            CloseIssue,
            ReopenIssue,
        ],
        &[SearchIssues],
    ),
    (
        "number",
        Wanted::Number,
        &[GetIssue, SetLabels, Comment, UpdatePullRequest, PrActivity, RequestReview, CloseIssue, ReopenIssue],
        &[],
    ),
    ("labels", Wanted::Names, &[], &[ListIssues]),
    ("state", Wanted::Choice(STATES), &[], &[ListIssues, FindPullRequest, UpdatePullRequest]),
    ("assignee", Wanted::Line, &[], &[ListIssues]),
    ("since", Wanted::Instant, &[], &[ListIssues]),
    ("trusted", Wanted::Names, &[], &[ListIssues, SearchIssues, GetIssue, PrActivity]),
    ("trusted_only", Wanted::Flag, &[], &[ListIssues, SearchIssues]),
    ("order", Wanted::Choice(&["oldest", "newest"]), &[], &[ListIssues, SearchIssues]),
    ("limit", Wanted::Limit(1), &[], &[ListIssues, SearchIssues]),
    ("query", Wanted::Line, &[SearchIssues], &[]),
    ("comments", Wanted::Limit(0), &[], &[GetIssue]),
    ("add", Wanted::Names, &[], &[SetLabels]),
    ("remove", Wanted::Names, &[], &[SetLabels]),
    ("replace", Wanted::WholeList, &[], &[SetLabels]),
    ("body", Wanted::Text, &[Comment], &[CreatePullRequest, UpdatePullRequest]),
    ("key", Wanted::Line, &[], &[Comment]),
    ("reply_to", Wanted::Maybe, &[], &[Comment]),
    ("title", Wanted::Line, &[CreatePullRequest], &[UpdatePullRequest]),
    ("head", Wanted::Line, &[CreatePullRequest, FindPullRequest], &[]),
    ("base", Wanted::Line, &[], &[CreatePullRequest, FindPullRequest, UpdatePullRequest]),
    ("draft", Wanted::Flag, &[], &[CreatePullRequest]),
    ("cursor", Wanted::Cursor, &[], &[PrActivity]),
    ("reviewers", Wanted::Names, &[], &[RequestReview]),
    ("team_reviewers", Wanted::Names, &[], &[RequestReview]),
    ("branch", Wanted::Line, &[CreateBranch, DeleteBranch], &[]),
    ("from", Wanted::Line, &[], &[CreateBranch]),
    ("force", Wanted::Flag, &[], &[DeleteBranch]),
    ("reason", Wanted::Choice(&["completed", "not_planned"]), &[], &[CloseIssue]),
];

/// Checks what a setting was rendered to, and gives it the type that the operation takes. An error is a sentence.
pub fn check_github_setting(name: &str, value: Value) -> Result<Value, String> {
    let Some((_, wanted, ..)) = SETTINGS.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("github.{name}: there is no such setting"));
    };
    checked(*wanted, value).map_err(|(given, wanted)| format!("github.{name} must be {wanted}, and it is {given}"))
}

fn checked(wanted: Wanted, value: Value) -> Result<Value, (String, String)> {
    let shown = match &value {
        Value::String(text) => format!("\"{}\"", shortened(text)),
        other => shortened(&other.to_string()),
    };
    let wrong = |what: &str| (shown.clone(), what.to_owned());
    let text = match &value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match wanted {
        Wanted::Repository => {
            let text = text.filter(|text| is_repository(text)).ok_or_else(|| wrong("owner/name of a repository"))?;
            Ok(Value::String(text))
        }
        Wanted::Text => text.map(Value::String).ok_or_else(|| wrong("text")),
        Wanted::Line => {
            let fits = |text: &String| !text.trim().is_empty() && !text.chars().any(char::is_control);
            text.filter(fits).map(Value::String).ok_or_else(|| wrong("text on one line"))
        }
        Wanted::Number | Wanted::Limit(_) => {
            let (least, most, what) = match wanted {
                Wanted::Limit(least) => (least, MOST_LISTED, format!("a whole number from {least} to {MOST_LISTED}")),
                _ => (1, u64::MAX, "a number, such as 17".to_owned()),
            };
            let number = text.and_then(|text| text.trim().trim_start_matches('#').parse::<u64>().ok());
            let number = number.filter(|number| (least..=most).contains(number)).ok_or_else(|| wrong(&what))?;
            Ok(Value::from(number))
        }
        Wanted::Maybe if value.is_null() || text.as_deref().is_some_and(|text| text.trim().is_empty()) => {
            Ok(Value::Null)
        }
        Wanted::Maybe => checked(Wanted::Number, value),
        Wanted::Flag => match text.as_deref() {
            Some("true") => Ok(Value::Bool(true)),
            Some("false") => Ok(Value::Bool(false)),
            _ if value.is_boolean() => Ok(value),
            _ => Err(wrong("true or false")),
        },
        Wanted::Names | Wanted::WholeList => {
            let nothing = match &value {
                Value::Null => true,
                Value::String(text) => text.trim().is_empty(),
                _ => false,
            };
            if nothing && matches!(wanted, Wanted::WholeList) {
                return Err(wrong("a list of names: nothing at all would remove every one; to do that write `[]`"));
            }
            let items = match value {
                _ if nothing => Vec::new(),
                Value::Array(items) => items,
                Value::String(_) => vec![value],
                _ => return Err(wrong("a list of names")),
            };
            let names = items.into_iter().map(|item| match item {
                Value::String(text) if !text.trim().is_empty() && !text.chars().any(char::is_control) => {
                    Ok(Value::String(text))
                }
                _ => Err(wrong("a list of names")),
            });
            Ok(Value::Array(names.collect::<Result<_, _>>()?))
        }
        Wanted::Choice(words) => {
            let known = text.filter(|text| words.contains(&text.as_str()));
            known.map(Value::String).ok_or_else(|| wrong(&one_of(words)))
        }
        Wanted::Instant => {
            let instant = text.filter(|text| text.parse::<jiff::Timestamp>().is_ok());
            instant.map(Value::String).ok_or_else(|| wrong("an instant, such as 2026-01-31T12:00:00Z"))
        }
        Wanted::Cursor => match value {
            Value::Object(_) | Value::Null => Ok(value),
            Value::String(text) if text.trim().is_empty() => Ok(Value::Null),
            Value::String(text) => match serde_json::from_str(&text) {
                Ok(Value::Object(map)) => Ok(Value::Object(map)),
                _ => Err(wrong("the `cursor` that an earlier attempt gave")),
            },
            _ => Err(wrong("the `cursor` that an earlier attempt gave")),
        },
    }
}

fn is_repository(text: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && !matches!(part, "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('/').is_some_and(|(owner, name)| fits(owner) && fits(name))
}

fn has_template(value: &VariableValue) -> bool {
    let mut found = false;
    value.for_each_template(&mut |template| found |= template.source.contains('{'));
    found
}

impl Walk {
    /// `github` of a GITHUB task.
    pub(super) fn github_options(&mut self, keys: &mut Keys<'_, '_>, task_span: Span) -> Option<Method> {
        let Some(entry) = keys.take("github") else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                "this GITHUB task has no `github`",
                "write `github: {operation: list_issues, repo: owner/name}`",
            );
            return None;
        };
        let span = entry.value.span;
        let entries = self.mapping("github", &entry.value)?;
        let mut keys = Keys::new(entries);
        let operation = self.github_operation(&mut keys, span);
        let mut settings = IndexMap::new();
        for setting in SETTINGS {
            let given = keys.take(setting.0);
            let Some(operation) = operation else { continue };
            if let Some(value) = self.github_setting(setting, given, operation, span) {
                settings.insert(setting.0.to_owned(), value);
            }
        }
        if let Some(operation) = operation {
            self.github_settings_together(operation, &settings, span);
        }
        let credential = self.github_credential(&mut keys, span);
        let api_url = self.optional(&mut keys, "api_url", Self::template);
        if let Some(url) = &api_url {
            self.check_url("api_url", url);
        }
        let mut options = GithubOptions {
            operation: operation.unwrap_or(GithubOperation::ListIssues),
            settings,
            credential,
            login: self.optional(&mut keys, "login", Self::template),
            api_url: api_url.unwrap_or_else(|| TemplateText { source: GITHUB_API.to_owned(), span }),
            request_timeout: Duration::from_secs(30),
            allow: Vec::new(),
            allow_private: self.optional(&mut keys, "allow_private", Self::boolean).unwrap_or(false),
        };
        if let Some(entry) = keys.take("request_timeout")
            && let Some(time) = self.duration("request_timeout", &entry.value, Zero::Refused)
        {
            options.request_timeout = time;
        }
        if let Some(entry) = keys.take("allow") {
            options.allow = self.address_rules("github.allow", &entry.value);
        }
        self.unknown_keys(&keys, &GITHUB);
        operation?;
        Some(Method::Github(Box::new(options)))
    }

    fn github_operation(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> Option<GithubOperation> {
        if let Some(entry) = keys.take("operation") {
            return self.choice("operation", &entry.value, GithubOperation::ALL);
        }
        self.problems.error_with_help(
            code::MISSING_KEY,
            span,
            "`github` has no `operation`",
            format!("say what to do: {}", one_of(GithubOperation::WORDS)),
        );
        None
    }

    fn github_setting(
        &mut self,
        (name, wanted, needed, possible): &Setting,
        given: Option<&Entry<'_>>,
        operation: GithubOperation,
        span: Span,
    ) -> Option<VariableValue> {
        let is_needed = needed.contains(&operation);
        let Some(entry) = given else {
            if is_needed {
                self.problems.error(code::MISSING_KEY, span, format!("`{operation}` needs `{name}`"));
            }
            return None;
        };
        if !is_needed && !possible.contains(&operation) {
            let takes: Vec<&str> = SETTINGS
                .iter()
                .filter(|(_, _, needed, possible)| needed.contains(&operation) || possible.contains(&operation))
                .map(|(name, ..)| *name)
                .collect();
            self.problems.error_with_help(
                code::OPTION,
                entry.key_span,
                format!("`{operation}` has no `{name}`"),
                format!("it takes {}", takes.join(", ")),
            );
            return None;
        }
        let value = variable(&entry.value);
        if !has_template(&value)
            && let Ok(literal) = value.to_json(&mut |text| Ok::<_, ()>(Value::String(text.source.clone())))
            && let Err((given, wanted)) = checked(*wanted, literal)
        {
            let message = format!("`{name}` must be {wanted}, and it is {given}");
            self.problems.error(code::VALUE, entry.value.span, message);
            return None;
        }
        Some(value)
    }

    /// What only several settings together show to be wrong.
    fn github_settings_together(
        &mut self,
        operation: GithubOperation,
        settings: &IndexMap<String, VariableValue>,
        span: Span,
    ) {
        let one_at_least: &[&str] = match operation {
            SetLabels => &["add", "remove", "replace"],
            UpdatePullRequest => &["title", "body", "base", "state"],
            RequestReview => &["reviewers", "team_reviewers"],
            _ => &[],
        };
        if !one_at_least.is_empty() && !one_at_least.iter().any(|name| settings.contains_key(*name)) {
            let message = format!("`{operation}` is given nothing to do");
            let help = format!("it takes {}", one_of(one_at_least));
            self.problems.error_with_help(code::MISSING_KEY, span, message, help);
        }
        if settings.contains_key("replace") && (settings.contains_key("add") || settings.contains_key("remove")) {
            let message = "`replace` says all the labels that there are: it excludes `add` and `remove`";
            self.problems.error(code::CONFLICT, span, message);
        }
        if operation == UpdatePullRequest
            && matches!(settings.get("state"), Some(VariableValue::Text(text)) if text.source == "all")
        {
            self.problems.error(code::VALUE, span, "a pull request becomes `open` or `closed`, not `all`");
        }
    }

    fn github_credential(&mut self, keys: &mut Keys<'_, '_>, span: Span) -> GithubCredentialSpec {
        let (token, app) = (keys.take("token"), keys.take("app"));
        if let (Some(_), Some(app)) = (token, app) {
            let message = "`token` and `app` exclude each other: a task asks as one";
            self.problems.error(code::CONFLICT, app.key_span, message);
        }
        let by_name = || ExpandedText { parts: vec![ExpandedPart::Variable(GITHUB_TOKEN.to_owned(), span)] };
        if let Some(entry) = app
            && let Some(app) = self.github_app(&entry.value)
        {
            return app;
        }
        let token = token.and_then(|entry| self.given_by_environment("token", &entry.value));
        GithubCredentialSpec::Token(token.unwrap_or_else(by_name))
    }

    fn github_app(&mut self, node: &Node<'_>) -> Option<GithubCredentialSpec> {
        let entries = self.mapping("github.app", node)?;
        let mut keys = Keys::new(entries);
        let id = self.optional(&mut keys, "id", Self::template_spelling);
        let installation = self.optional(&mut keys, "installation", Self::template_spelling);
        let private_key = keys.take("private_key");
        for (name, missing) in [("id", id.is_none()), ("private_key", private_key.is_none())] {
            if missing {
                self.problems.error(code::MISSING_KEY, node.span, format!("`github.app` needs `{name}`"));
            }
        }
        let private_key = private_key.and_then(|entry| self.given_by_environment("private_key", &entry.value));
        self.unknown_keys(&keys, &GITHUB_APP);
        Some(GithubCredentialSpec::App { id: id?, installation, private_key: private_key? })
    }

    /// A `${NAME}`: what opens doors does not stand in a definition.
    fn given_by_environment(&mut self, key: &str, node: &Node<'_>) -> Option<ExpandedText> {
        let text = self.expanded(key, node)?;
        if matches!(&text.parts[..], [ExpandedPart::Variable(..)]) {
            return Some(text);
        }
        self.problems.error_with_help(
            code::SECRET_PLACE,
            node.span,
            format!("`{key}` must be a variable of the environment: whatever stands here can be seen by everybody"),
            "write \"${GITHUB_TOKEN}\", and `environment: {GITHUB_TOKEN: \"{{ secrets.GithubToken }}\"}`",
        );
        None
    }

    /// Hosts, addresses and networks.
    pub(super) fn address_rules(&mut self, key: &str, node: &Node<'_>) -> Vec<String> {
        let mut rules = Vec::new();
        for item in self.list(key, node).unwrap_or_default() {
            let Some(text) = self.text(&format!("an entry of {key}"), item) else { continue };
            match parse_rule(&text) {
                Ok(_) => rules.push(text),
                Err(message) => self.problems.error_with_help(
                    code::VALUE,
                    item.span,
                    message,
                    "write a host, an address or a network: db.internal, 10.1.2.3, 10.1.0.0/16",
                ),
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_another_task_is_given_its_type_or_refused_in_words() {
        for (name, given, becomes) in [
            ("number", json!("#17"), json!(17)),
            ("number", json!(17), json!(17)),
            ("labels", json!("bug"), json!(["bug"])),
            ("labels", json!(""), json!([])),
            ("draft", json!("true"), json!(true)),
            ("cursor", json!(""), Value::Null),
            ("cursor", json!("{\"v\":1}"), json!({"v": 1})),
            ("repo", json!("o/r.x"), json!("o/r.x")),
            ("reply_to", json!(""), Value::Null),
            ("reply_to", json!("17"), json!(17)),
        ] {
            assert_eq!(check_github_setting(name, given), Ok(becomes), "{name}");
        }
        for (name, given, message) in [
            ("number", json!("x"), "github.number must be a number, such as 17, and it is \"x\""),
            ("limit", json!(0), "github.limit must be a whole number from 1 to 1000, and it is 0"),
            ("repo", json!("o/../r"), "github.repo must be owner/name of a repository, and it is \"o/../r\""),
            ("repo", json!("../r"), "github.repo must be owner/name of a repository, and it is \"../r\""),
            ("labels", json!([1]), "github.labels must be a list of names, and it is [1]"),
            ("state", json!("new"), "github.state must be open, closed or all, and it is \"new\""),
            ("title", json!("a\nb"), "github.title must be text on one line, and it is \"a…\""),
            (
                "since",
                json!("today"),
                "github.since must be an instant, such as 2026-01-31T12:00:00Z, and it is \"today\"",
            ),
            ("cursor", json!(3), "github.cursor must be the `cursor` that an earlier attempt gave, and it is 3"),
        ] {
            let refused = check_github_setting(name, given).unwrap_err();
            assert_eq!(refused, message);
        }
    }

    #[test]
    fn every_key_of_the_table_is_a_setting_and_the_other_way_round() {
        let others = ["operation", "token", "app", "login", "api_url", "request_timeout", "allow", "allow_private"];
        for key in GITHUB.keys {
            assert!(others.contains(&key.name) || SETTINGS.iter().any(|(name, ..)| *name == key.name), "{}", key.name);
        }
        for (name, ..) in SETTINGS {
            assert!(GITHUB.key(name).is_some(), "{name}");
        }
    }
}
