//! The options of APPROVAL tasks.

use super::keys::APPROVAL;
use super::tree::Node;
use super::walk::{Keys, Walk, Zero};
use super::{ApprovalOptions, ApprovalTimeout, Span, code};

/// Longest name of a user or role.
const LONGEST: usize = 100;

/// Whether a text can be the name of a user or of a role: letters, digits and `.`, `_`, `@`, `+`, `-`, a letter or digit
/// first.
pub fn is_person_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= LONGEST
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte))
}

impl Walk {
    /// `approval`; without it everybody may decide alone.
    pub(super) fn approval_options(&mut self, keys: &mut Keys<'_, '_>) -> ApprovalOptions {
        let mut options = ApprovalOptions {
            min_approvals: 1,
            users: Vec::new(),
            roles: Vec::new(),
            unanimous: false,
            timeout: None,
            timeout_action: ApprovalTimeout::default(),
            message: None,
        };
        let Some(entry) = keys.take("approval") else { return options };
        let Some(entries) = self.mapping("approval", &entry.value) else { return options };
        let mut keys = Keys::new(entries);
        let least = keys.take("min_approvals");
        let wanted = least.and_then(|entry| self.integer("min_approvals", &entry.value, 1..=1_000));
        options.users = keys.take("users").map(|entry| self.people("a user", &entry.value)).unwrap_or_default();
        options.roles = keys.take("roles").map(|entry| self.people("a role", &entry.value)).unwrap_or_default();
        let unanimous = keys.take("unanimous");
        options.unanimous = unanimous.and_then(|entry| self.boolean("unanimous", &entry.value)).unwrap_or(false);
        options.timeout = self.optional_duration(&mut keys, "timeout", Zero::Refused);
        let action = keys.take("timeout_action");
        let choices = [
            ("reject", ApprovalTimeout::Reject),
            ("approve", ApprovalTimeout::Approve),
            ("escalate", ApprovalTimeout::Escalate),
        ];
        options.timeout_action =
            action.and_then(|entry| self.choice("timeout_action", &entry.value, &choices)).unwrap_or_default();
        options.message = self.optional(&mut keys, "message", Self::template);
        self.unknown_keys(&keys, &APPROVAL);
        if let Some(action) = action
            && !entries.iter().any(|entry| &*entry.key == "timeout")
        {
            self.problems.error_with_help(
                code::CONFLICT,
                action.key_span,
                "`timeout_action` has no effect without `timeout`",
                "say how long it waits: `timeout: 2d`",
            );
        }
        if options.unanimous {
            let span = unanimous.map_or(entry.key_span, |entry| entry.key_span);
            self.check_unanimous(&options, least.is_some(), span);
        } else if let (Some(wanted), Some(least)) = (wanted, least)
            && options.roles.is_empty()
            && !options.users.is_empty()
            && wanted as usize > options.users.len()
        {
            let count = options.users.len();
            self.problems.error_with_help(
                code::RANGE,
                least.value.span,
                format!("`min_approvals` is {wanted}, and only {count} may vote: it could never be approved"),
                "each person has one vote: name more `users` or a role",
            );
        }
        options.min_approvals = wanted.unwrap_or(1);
        options
    }

    fn check_unanimous(&mut self, options: &ApprovalOptions, least: bool, span: Span) {
        let (message, help) = if options.users.is_empty() {
            ("`unanimous` needs `users`: all of them have to approve", "name them: `users: [alice, bob]`")
        } else if !options.roles.is_empty() {
            (
                "`unanimous` and `roles` exclude each other: who holds a role may change while people vote",
                "name the `users`, or ask for `min_approvals`",
            )
        } else if least {
            ("`unanimous` and `min_approvals` exclude each other: all `users` have to approve", "keep one of the two")
        } else {
            return;
        };
        self.problems.error_with_help(code::CONFLICT, span, message, help);
    }

    /// Names of users or roles, each once.
    fn people(&mut self, what: &str, node: &Node<'_>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for item in self.list(&format!("{what}s").replacen("a ", "", 1), node).unwrap_or_default() {
            let Some(name) = self.text(&format!("the name of {what}"), item) else { continue };
            if !is_person_name(&name) {
                self.problems.error_with_help(
                    code::NAME,
                    item.span,
                    format!("\"{}\" cannot be the name of {what}", super::scalar::shortened(&name)),
                    "it takes letters, digits, `.`, `_`, `@`, `+` and `-`, at most 100, a letter or digit first; templates \
                     cannot stand here",
                );
            } else if names.contains(&name) {
                self.problems.error(code::VALUE, item.span, format!("{name} is named twice"));
            } else {
                names.push(name);
            }
        }
        names
    }
}
