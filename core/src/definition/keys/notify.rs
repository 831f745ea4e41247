//! Who is told of what.

use super::{ANY_NAME, Shape, Vocabulary, key};

const WORD: Shape = Shape::Choice(&[
    "always",
    "on_success",
    "on_failure",
    "on_blocked",
    "on_cancelled",
    "on_skipped",
    "on_paused",
    "on_approval",
    "never",
]);

const WHEN: super::Key = key(
    "when",
    Shape::OneOf(&[WORD, Shape::List(&WORD, 1, usize::MAX)]),
    "notify",
    "Of what: `always` is every end of the job; `on_success`, `on_failure`, `on_blocked`, `on_cancelled` and `on_skipped` \
     are one of its ends; `on_paused` and `on_approval` come before it ends. `never` switches the entry off.",
)
.default("always");

const URL: super::Key = key(
    "url",
    Shape::Template,
    "notify",
    "Where to. Params, job variables and secrets may stand in it; it is rendered for each delivery and stored nowhere.",
)
.required();

const SECRET: super::Key = key(
    "secret",
    Shape::Template,
    "notify",
    "The key of the signature in the header `X-Atta-Signature-256`. Without it there is no signature.",
);

const HEADERS: super::Key =
    key("headers", Shape::Map(ANY_NAME, &Shape::TemplateScalar), "notify", "Further header fields of the request.");

pub(in super::super) const NOTIFY: Vocabulary = Vocabulary {
    what: "a notification",
    keys: &[
        WHEN,
        key(
            "message",
            Shape::Template,
            "notify",
            "A text to go along. It may use what is known of the tasks by then; if it cannot be rendered, that is said in \
             its place.",
        ),
        key("webhook", Shape::Mapping(&WEBHOOK), "notify", "A POST with a JSON document."),
        key(
            "slack",
            Shape::Mapping(&SLACK),
            "notify",
            "A message to an incoming webhook of Slack or of what speaks like it.",
        ),
        key(
            "email",
            Shape::Mapping(&EMAIL),
            "notify-email",
            "An e-mail, by the SMTP server that the server was started with.",
        ),
    ],
    later: &[],
    foreign: &[("on", "when"), ("mail", "email"), ("text", "message")],
};

pub(in super::super) const WEBHOOK: Vocabulary = Vocabulary {
    what: "a webhook",
    keys: &[URL, SECRET, HEADERS],
    later: &[],
    foreign: &[("uri", "url"), ("key", "secret"), ("token", "secret")],
};

pub(in super::super) const WHOLE_WEBHOOK: Vocabulary = Vocabulary {
    what: "the job's webhook",
    keys: &[WHEN, URL, SECRET, HEADERS],
    later: &[],
    foreign: &[("uri", "url"), ("key", "secret"), ("token", "secret"), ("on", "when")],
};

pub(in super::super) const SLACK: Vocabulary =
    Vocabulary { what: "slack", keys: &[URL], later: &[], foreign: &[("webhook", "url"), ("webhook_url", "url")] };

pub(in super::super) const EMAIL: Vocabulary = Vocabulary {
    what: "email",
    keys: &[
        key(
            "to",
            Shape::OneOf(&[Shape::Template, Shape::List(&Shape::Template, 1, 50)]),
            "notify-email",
            "An address or a list of them. `voters` stands for everybody who may vote about an approval and whose address \
             the server knows; each gets a link of his own.",
        )
        .required(),
        key("subject", Shape::Template, "notify-email", "The subject line.").default("what happened, in a few words"),
        key("from", Shape::Template, "notify-email", "The sender.").default("what the server was started with"),
    ],
    later: &[],
    foreign: &[("address", "to"), ("sender", "from"), ("title", "subject")],
};
