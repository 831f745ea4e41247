//! Keys of the HTTP methods.

use super::{ANY_NAME, Key, Shape, Vocabulary, key, list};

/// Pairs of names and templates.
pub(super) const PAIRS: Shape = Shape::Map(ANY_NAME, &Shape::TemplateScalar);

/// Asks for all private addresses.
pub(super) const fn allow_private(example: &'static str) -> Key {
    key(
        "allow_private",
        Shape::Boolean,
        example,
        "Asks for addresses that are not public. Counts only on an ant that lets definitions say so.",
    )
    .default("false")
}

/// Asks for some of them.
pub(super) const fn allow(example: &'static str) -> Key {
    key(
        "allow",
        list(&Shape::Text),
        example,
        "Hosts, addresses and networks (`10.1.0.0/16`) that may be private. Counts only on an ant that lets definitions say \
         so.",
    )
}

pub(in super::super) const HTTP: Vocabulary = Vocabulary {
    what: "http",
    keys: &[
        key(
            "follow_redirects",
            Shape::Integer(0, 10),
            "http-redirects",
            "How many redirects are followed; 0 takes the redirect itself as the answer, which is a success. \
             `Authorization`, `Cookie` and every header with a `${NAME}` go to no other host.",
        )
        .default("5 for GET, 0 for the others"),
        key(
            "max_body",
            Shape::Form("size", ""),
            "http-get",
            "The longest body that is taken, up to `1GiB`; a longer one makes the attempt `INVALID`.",
        )
        .default("10MiB"),
        key(
            "connect_timeout",
            Shape::Duration,
            "http-get",
            "How long it may take to find the host, to connect and to agree on TLS; then the result is `START_FAILED`.",
        )
        .default("10s"),
        allow_private("http-get"),
        allow("http-post"),
        key(
            "ca_file",
            Shape::Text,
            "http-tls",
            "A PEM file with further certificate authorities: absolute on the ant, or relative to the task's directory.",
        ),
        key("save_as", Shape::Text, "http-get", "The file name under which the body is kept as an artifact.")
            .default("`response/body`"),
    ],
    later: &[],
    foreign: &[
        ("redirects", "follow_redirects"),
        ("max_redirects", "follow_redirects"),
        ("max_size", "max_body"),
        ("timeout", "connect_timeout"),
        ("output", "save_as"),
    ],
};
