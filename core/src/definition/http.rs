//! The `HTTP_*` methods: their options, and how they are read.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::keys::HTTP;
use super::scalar::{Meaning, shortened};
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk, Zero};
use super::{Method, Span, TemplateText, VariableValue, code, parse_size};

/// Redirects that a GET follows when nothing is said.
const REDIRECTS: u32 = 5;
/// The longest body that is taken when nothing is said.
const BODY: u64 = 10 << 20;
/// The longest body that can be asked for.
const LARGEST_BODY: u64 = 1 << 30;
/// Headers that are ours to set: a wrong value breaks the exchange, or lets it mean two things.
const OWN_HEADERS: [&str; 8] =
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "proxy-authorization"];

/// Options of the `HTTP_*` methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpOptions {
    /// GET, POST, PUT, PATCH or DELETE.
    pub verb: String,
    /// Where to.
    pub url: TemplateText,
    /// Appended to the URL, percent-encoded.
    pub query: IndexMap<String, TemplateText>,
    /// Header fields.
    pub headers: IndexMap<String, ExpandedText>,
    /// What is sent.
    pub body: HttpBody,
    /// How many redirects are followed.
    pub follow_redirects: u32,
    /// Bytes of the answer's body beyond which the attempt is INVALID.
    pub max_body: u64,
    /// To resolve the name, connect and agree on TLS.
    pub connect_timeout: Duration,
    /// Hosts and networks (CIDR) that may be private, if the ant lets definitions say so.
    pub allow: Vec<String>,
    /// The same for every private address.
    pub allow_private: bool,
    /// PEM file with further certificate authorities: absolute on the ant, or relative to TASK_DIR.
    pub ca_file: Option<String>,
    /// Where the body is kept, relative to TASK_DIR.
    pub save_as: Option<String>,
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HttpBody {
    /// Nothing.
    None,
    /// Text as it is.
    Text(TemplateText),
    /// A JSON document; string leaves are templates, and keep the type of what they render to.
    Json(VariableValue),
    /// Pairs, URL-encoded.
    Form(IndexMap<String, ExpandedText>),
}

/// A template in which `${NAME}` stands for a variable of the attempt's environment, which only the ant knows: that is how
/// secrets reach a request. `${NAME}` in a value of the template stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpandedText {
    /// In order.
    pub parts: Vec<ExpandedPart>,
}

/// A piece of an [`ExpandedText`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpandedPart {
    /// A template.
    Text(TemplateText),
    /// The name of an environment variable, and where it stands.
    Variable(String, Span),
}

impl HttpOptions {
    /// All templates but those of a JSON body.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateText> {
        let form = match &self.body {
            HttpBody::Form(form) => Some(form),
            _ => None,
        };
        let text = match &self.body {
            HttpBody::Text(text) => Some(text),
            _ => None,
        };
        let expanded = self.headers.values().chain(form.into_iter().flat_map(IndexMap::values));
        let parts = expanded.flat_map(|text| &text.parts).filter_map(|part| match part {
            ExpandedPart::Text(template) => Some(template),
            ExpandedPart::Variable(..) => None,
        });
        std::iter::once(&self.url).chain(self.query.values()).chain(text).chain(parts)
    }

    /// The variables that headers and form name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Span)> {
        let form = match &self.body {
            HttpBody::Form(form) => Some(form),
            _ => None,
        };
        let expanded = self.headers.values().chain(form.into_iter().flat_map(IndexMap::values));
        expanded.flat_map(|text| &text.parts).filter_map(|part| match part {
            ExpandedPart::Text(_) => None,
            ExpandedPart::Variable(name, span) => Some((name.as_str(), *span)),
        })
    }
}

impl Walk {
    pub(super) fn http_options(&mut self, keys: &mut Keys<'_, '_>, verb: &'static str, task_span: Span) -> Method {
        let url = if let Some(entry) = keys.take("url") {
            let url = self.template("url", &entry.value);
            if let Some(url) = &url {
                self.check_url("url", url);
            }
            url
        } else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                task_span,
                format!("this task of the method HTTP_{verb} has no `url`"),
                "say where to: `url: https://example.com/items`",
            );
            None
        };
        let query = keys.take("query").map(|entry| self.pairs("query", &entry.value)).unwrap_or_default();
        let headers = keys.take("headers").map(|entry| self.headers(&entry.value)).unwrap_or_default();
        let body = self.body(keys, verb);
        let mut options = HttpOptions {
            verb: verb.to_owned(),
            url: url.unwrap_or_else(|| TemplateText { source: String::new(), span: task_span }),
            query,
            headers,
            body,
            follow_redirects: if verb == "GET" { REDIRECTS } else { 0 },
            max_body: BODY,
            connect_timeout: Duration::from_secs(10),
            allow: Vec::new(),
            allow_private: false,
            ca_file: None,
            save_as: None,
        };
        if let Some(entry) = keys.take("http") {
            self.http_settings(&entry.value, &mut options);
        }
        Method::Http(options)
    }

    fn http_settings(&mut self, node: &Node<'_>, options: &mut HttpOptions) {
        let Some(entries) = self.mapping("http", node) else { return };
        let mut keys = Keys::new(entries);
        if let Some(entry) = keys.take("follow_redirects")
            && let Some(count) = self.integer("follow_redirects", &entry.value, 0..=10)
        {
            options.follow_redirects = count;
        }
        if let Some(entry) = keys.take("max_body")
            && let Some(bytes) = self.body_size(&entry.value)
        {
            options.max_body = bytes;
        }
        if let Some(entry) = keys.take("connect_timeout")
            && let Some(time) = self.duration("connect_timeout", &entry.value, Zero::Refused)
        {
            options.connect_timeout = time;
        }
        options.allow_private = self.optional(&mut keys, "allow_private", Self::boolean).unwrap_or(false);
        if let Some(entry) = keys.take("allow") {
            options.allow = self.address_rules("http.allow", &entry.value);
        }
        options.ca_file = keys.take("ca_file").and_then(|entry| {
            let path = self.text("ca_file", &entry.value)?;
            if !path.starts_with('/') {
                self.check_plain_path("http.ca_file", &path, entry.value.span);
            }
            Some(path)
        });
        options.save_as = keys.take("save_as").and_then(|entry| {
            let path = self.text("save_as", &entry.value)?;
            self.check_plain_path("http.save_as", &path, entry.value.span);
            let plain = !path.contains(['*', '?', '[', '{', '\\']) && !path.ends_with('/') && !path.starts_with("./");
            if !plain {
                self.problems.error_with_help(
                    code::PATH,
                    entry.value.span,
                    format!("`save_as` must name one file, and \"{}\" does not", shortened(&path)),
                    "write a file name: report.json",
                );
            }
            Some(path)
        });
        self.unknown_keys(&keys, &HTTP);
    }

    fn body_size(&mut self, node: &Node<'_>) -> Option<u64> {
        let text = self.spelling("max_body", node)?;
        match parse_size(&text) {
            Ok(bytes) if (1..=LARGEST_BODY).contains(&bytes) => Some(bytes),
            Ok(_) => {
                self.problems.error(
                    code::RANGE,
                    node.span,
                    format!("`max_body` must be between 1B and 1GiB, and {} is not", shortened(&text)),
                );
                None
            }
            Err(error) => {
                let message = format!("`max_body`: {}", error.message);
                self.problems.error_with_help(code::VALUE, node.span, message, error.help);
                None
            }
        }
    }

    /// What is written of the URL has to be the beginning of one.
    pub(super) fn check_url(&mut self, key: &str, url: &TemplateText) {
        let literal = url.source.split("{{").next().unwrap_or_default().split("{%").next().unwrap_or_default();
        let whole = literal.len() == url.source.len();
        let lower = literal.trim_start().to_ascii_lowercase();
        let problem = if let Some((scheme, rest)) = lower.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if !matches!(scheme, "http" | "https") {
                Some((format!("`{key}` must begin with http:// or https://, and this is {scheme}://"), ""))
            } else if authority.contains('@') {
                Some((
                    format!("`{key}` names a user: what is in a URL is shown and logged"),
                    "send it in a header: `headers: {Authorization: \"Basic ${LOGIN}\"}`",
                ))
            } else if whole && authority.is_empty() {
                Some((format!("`{key}` names no host"), "write https://example.com/path"))
            } else {
                None
            }
        } else if whole || (!literal.is_empty() && !"https://".starts_with(&lower) && !"http://".starts_with(&lower)) {
            Some((
                format!("`{key}` must begin with http:// or https://, and \"{}\" does not", shortened(literal)),
                "write https://example.com/path",
            ))
        } else {
            None
        };
        if let Some((message, help)) = problem {
            let help = if help.is_empty() { "only these two can be asked" } else { help };
            self.problems.error_with_help(code::URL, url.span, message, help);
        }
    }

    fn pairs(&mut self, key: &str, node: &Node<'_>) -> IndexMap<String, TemplateText> {
        let mut pairs = IndexMap::new();
        for entry in self.mapping(key, node).unwrap_or_default() {
            if let Some(value) = self.template_spelling(&format!("{key}.{}", &*entry.key), &entry.value) {
                pairs.insert(entry.key.to_string(), value);
            }
        }
        pairs
    }

    fn headers(&mut self, node: &Node<'_>) -> IndexMap<String, ExpandedText> {
        let mut headers: IndexMap<String, ExpandedText> = IndexMap::new();
        for entry in self.mapping("headers", node).unwrap_or_default() {
            let name = &*entry.key;
            let lower = name.to_ascii_lowercase();
            if !is_token(name) {
                self.problems.error_with_help(
                    code::NAME,
                    entry.key_span,
                    format!("\"{}\" cannot be the name of a header", shortened(name)),
                    "names take letters, digits and `-`",
                );
            } else if OWN_HEADERS.contains(&lower.as_str()) {
                self.problems.error_with_help(
                    code::RESERVED_NAME,
                    entry.key_span,
                    format!("the header {name} is set by Atta itself"),
                    "remove it",
                );
            } else if headers.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                self.problems.error(code::CONFLICT, entry.key_span, format!("the header {name} is given twice"));
            } else if let Some(value) = self.expanded(&format!("headers.{name}"), &entry.value) {
                headers.insert(name.to_owned(), value);
            }
        }
        headers
    }

    fn body(&mut self, keys: &mut Keys<'_, '_>, verb: &str) -> HttpBody {
        let given: Vec<_> = ["body", "json", "form"].into_iter().filter_map(|key| keys.take(key)).collect();
        if let [first, second, ..] = &given[..] {
            self.problems.error(
                code::CONFLICT,
                second.key_span,
                format!("`{}` and `{}` exclude each other: a request has one body", &*first.key, &*second.key),
            );
        }
        let Some(entry) = given.first() else { return HttpBody::None };
        if verb == "GET" {
            self.problems.error_with_help(
                code::OPTION,
                entry.key_span,
                format!("a GET request has no body, and `{}` is one", &*entry.key),
                "values go into `query`, or use HTTP_POST",
            );
        }
        match &*entry.key {
            "body" => self.template("body", &entry.value).map_or(HttpBody::None, HttpBody::Text),
            "json" => HttpBody::Json(super::job::variable(&entry.value)),
            _ => {
                let mut form = IndexMap::new();
                for pair in self.mapping("form", &entry.value).unwrap_or_default() {
                    if let Some(value) = self.expanded(&format!("form.{}", &*pair.key), &pair.value) {
                        form.insert(pair.key.to_string(), value);
                    }
                }
                HttpBody::Form(form)
            }
        }
    }

    pub(super) fn expanded(&mut self, key: &str, node: &Node<'_>) -> Option<ExpandedText> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type(key, node, "text", None);
            return None;
        };
        if scalar.meaning() == Meaning::Null {
            self.wrong_type(key, node, "text", None);
            return None;
        }
        Some(ExpandedText { parts: split(&scalar.text, node.span) })
    }
}

/// Cuts a text at every `${NAME}` that is outside of template expressions.
fn split(text: &str, span: Span) -> Vec<ExpandedPart> {
    // Each piece has a place of its own; quotes and escapes before it move it a little.
    let place = |at: usize| Span { start: (span.start + at).min(span.end), end: span.end };
    let template = |from: usize, to: usize| {
        ExpandedPart::Text(TemplateText { source: text[from..to].to_owned(), span: place(from) })
    };
    let mut parts = Vec::new();
    let (mut begun, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let closed = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
            .iter()
            .find(|(open, _)| rest.starts_with(open))
            .map(|(_, close)| rest.find(close).map_or(rest.len(), |end| end + 2));
        if let Some(length) = closed {
            at += length;
        } else if let Some(name) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')).map(|(name, _)| name)
            && super::is_identifier(name)
        {
            if begun < at {
                parts.push(template(begun, at));
            }
            parts.push(ExpandedPart::Variable(name.to_owned(), place(at)));
            at += name.len() + 3;
            begun = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    if begun < text.len() || parts.is_empty() {
        parts.push(template(begun, text.len()));
    }
    parts
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |part: ExpandedPart| match part {
            ExpandedPart::Text(template) => template.source,
            ExpandedPart::Variable(name, _) => format!("<{name}>"),
        };
        split(text, Span::default()).into_iter().map(show).collect()
    }

    #[test]
    fn variables_stand_outside_of_template_expressions_only() {
        assert_eq!(shown("Bearer ${TOKEN}"), ["Bearer ", "<TOKEN>"]);
        assert_eq!(shown("${A}${B}c"), ["<A>", "<B>", "c"]);
        assert_eq!(shown("{{ '${A}' }}${B}"), ["{{ '${A}' }}", "<B>"]);
        assert_eq!(shown("${not a name} $X ${"), ["${not a name} $X ${"]);
        assert_eq!(shown(""), [""]);
    }
}
