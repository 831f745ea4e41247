//! The options of APPROVAL tasks.

use super::{DURATION, Shape, Vocabulary, key, list};

const PERSON: Shape = Shape::Form("name", "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$");

pub(in super::super) const APPROVAL: Vocabulary = Vocabulary {
    what: "approval",
    keys: &[
        key(
            "min_approvals",
            Shape::Integer(1, 1_000),
            "approval",
            "So many have to approve. One person has one vote; one rejection rejects.",
        )
        .default("1"),
        key("users", list(&PERSON), "approval", "Who may vote. Without `users` and `roles` everybody may."),
        key(
            "roles",
            list(&PERSON),
            "approval-roles",
            "Whose holders may vote, beside `users`. The server knows who holds which role (`atta serve --roles`).",
        ),
        key(
            "unanimous",
            Shape::Boolean,
            "approval-unanimous",
            "All of `users` have to approve. Excludes `min_approvals` and `roles`.",
        )
        .default("false"),
        key(
            "timeout",
            DURATION,
            "approval-timeout",
            "How long people have. The task's own `timeout` is about running programs and does not count here.",
        )
        .default("no limit"),
        key(
            "timeout_action",
            Shape::Choice(&["reject", "approve", "escalate"]),
            "approval-timeout",
            "What happens then: it counts as rejected or as approved, or, with `escalate`, the result is `TIMED_OUT` and \
             everybody who is told of approvals is told again.",
        )
        .default("reject"),
        key(
            "message",
            Shape::Template,
            "approval",
            "What people are asked. Rendered when the task starts.",
        )
        .default("the task's `description`"),
    ],
    later: &[],
    foreign: &[
        ("required_approvals", "min_approvals"),
        ("approvers", "users"),
        ("groups", "roles"),
        ("on_timeout", "timeout_action"),
        ("prompt", "message"),
    ],
};
