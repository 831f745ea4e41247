//! Filters. What is not listed does not exist; each pays for what it makes before it makes it.

use std::fmt::Write as _;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::machinery::ast::CallArg;
use sha2::{Digest as _, Sha256};

use super::call::Arguments;
use super::{Evaluator, Outcome};
use crate::template::problem::{E_UNKNOWN, E_VALUE, did_you_mean};
use crate::template::value::{Data, Origin};
use crate::template::{TemplateProblem, Value};

/// The filters that a template may use.
pub(crate) const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "from_json",
    "indent",
    "int",
    "items",
    "join",
    "keys",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "markdown_link",
    "max",
    "min",
    "option",
    "raw",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sha256",
    "slug",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "to_json",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "values",
];

/// What a URL's piece may hold as it is.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl<'t> Evaluator<'t, '_> {
    pub(super) fn filter(
        &mut self,
        name: &str,
        input: Value,
        args: &'t [CallArg<'t>],
        offset: usize,
    ) -> Outcome<Value> {
        self.step(offset)?;
        if matches!(name, "default" | "d") {
            let arguments = self.arguments(args, offset)?;
            arguments.allow(name, &["value", "boolean"])?;
            let empty = arguments.flag(1, "boolean") && !input.is_true();
            return Ok(if input.is_undefined() || empty {
                arguments.get(0, "value").cloned().unwrap_or_else(|| Value::text(""))
            } else {
                input
            });
        }
        if !FILTERS.contains(&name) {
            let problem = TemplateProblem::new(E_UNKNOWN, offset, format!("there is no filter `{name}`"));
            return Err(match did_you_mean(name, FILTERS.iter().copied()) {
                Some(meant) => problem.with_help(format!("did you mean `{meant}`?")),
                None => problem.with_help(format!("there are {}", FILTERS.join(", "))),
            });
        }
        let input = Self::defined(input, offset)?;
        let input = self.whole(input, offset)?;
        let arguments = self.arguments(args, offset)?;
        self.charge(input.size, offset)?;
        self.apply(name, input, &arguments, offset)
    }

    fn apply(&mut self, name: &str, input: Value, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        let origin = input.origin.join(arguments.origin());
        match name {
            "raw" | "option" => {
                arguments.allow(name, &[])?;
                Ok(input)
            }
            "upper" | "lower" | "capitalize" | "title" | "trim" | "slug" | "sha256" | "markdown_link" | "replace"
            | "indent" | "truncate" | "split" | "lines" | "from_json" | "urlencode" => {
                self.text_filter(name, &input, arguments, offset)
            }
            "string" => {
                arguments.allow(name, &[])?;
                let text = self.text_of(&input, offset)?;
                Ok(Value::text(text).tainted(origin))
            }
            "to_json" | "tojson" => {
                arguments.allow(name, &["indent"])?;
                let json = input.to_json().map_err(|problem| Self::elsewhere(problem, offset))?;
                let text = if arguments.flag(0, "indent") { format!("{json:#}") } else { json.to_string() };
                self.make_text(text, origin, offset)
            }
            "length" | "count" => {
                arguments.allow(name, &[])?;
                let length = match &input.data {
                    Data::Text(text) => text.chars().count(),
                    Data::List(items) => items.len(),
                    Data::Map(map) => map.len(),
                    _ => return Err(wrong(name, &input, offset)),
                };
                Ok(Value::of(Data::Int(length as i128)).tainted(origin))
            }
            "bool" => {
                arguments.allow(name, &[])?;
                Ok(Value::from(match input.as_text() {
                    Some(text) => crate::template::is_truthy(text),
                    None => input.is_true(),
                })
                .tainted(origin))
            }
            "int" | "float" | "abs" | "round" => number_filter(name, &input, arguments, offset),
            _ => self.list_filter(name, &input, arguments, offset),
        }
    }

    fn text_filter(&mut self, name: &str, input: &Value, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        let origin = input.origin.join(arguments.origin());
        let text = self.text_of(input, offset)?;
        // Case mapping at most triples the bytes of a character.
        self.charge(text.len() * 3, offset)?;
        let result = match name {
            "upper" => text.to_uppercase(),
            // RFC 3986, 2.3: everything but the unreserved characters, `/` too.
            "urlencode" => percent_encoding::utf8_percent_encode(&text, UNRESERVED).to_string(),
            "lower" => text.to_lowercase(),
            "capitalize" => {
                let mut chars = text.chars();
                let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
                first + &chars.as_str().to_lowercase()
            }
            "title" => {
                let mut start = true;
                let mut title = String::new();
                for c in text.chars() {
                    if start {
                        title.extend(c.to_uppercase());
                    } else {
                        title.extend(c.to_lowercase());
                    }
                    start = !c.is_alphanumeric() && c != '\'';
                }
                title
            }
            "trim" => {
                arguments.allow(name, &["chars"])?;
                match arguments.text(0, "chars")? {
                    Some(chars) => text.trim_matches(|c| chars.contains(c)).to_owned(),
                    None => text.trim().to_owned(),
                }
            }
            "slug" => {
                arguments.allow(name, &["length"])?;
                slug(&text, usize::try_from(arguments.int(0, "length")?.unwrap_or(60)).unwrap_or(0).clamp(1, 200))
            }
            "sha256" => hex::encode(Sha256::digest(text.as_bytes())),
            "markdown_link" => {
                arguments.allow(name, &["url"])?;
                let url = arguments.text(0, "url")?.unwrap_or_else(|| text.clone());
                self.charge(url.len() * 3, offset)?;
                markdown_link(&text, &url)
            }
            "replace" => {
                arguments.allow(name, &["old", "new"])?;
                let old = arguments.text(0, "old")?.unwrap_or_else(|| "".into());
                let new = arguments.text(1, "new")?.unwrap_or_else(|| "".into());
                let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old.as_ref()).count() };
                self.charge(times.saturating_mul(new.len()), offset)?;
                text.replace(old.as_ref(), &new)
            }
            "indent" => {
                arguments.allow(name, &["width", "first"])?;
                let width = usize::try_from(arguments.int(0, "width")?.unwrap_or(4)).unwrap_or(0);
                self.charge(width.saturating_mul(text.matches('\n').count() + 1), offset)?;
                let indentation = " ".repeat(width);
                let indented = text.replace('\n', &format!("\n{indentation}"));
                if arguments.flag(1, "first") { indentation + &indented } else { indented }
            }
            "truncate" => {
                arguments.allow(name, &["length", "end"])?;
                let length = usize::try_from(arguments.int(0, "length")?.unwrap_or(255)).unwrap_or(0);
                let end = arguments.text(1, "end")?.unwrap_or_else(|| "…".into());
                if text.chars().count() <= length {
                    text.to_string()
                } else {
                    text.chars().take(length.saturating_sub(end.chars().count())).collect::<String>() + &end
                }
            }
            "from_json" => {
                let json = serde_json::from_str(&text).map_err(|error| {
                    TemplateProblem::new(E_VALUE, offset, format!("from_json: this is no JSON: {error}"))
                })?;
                self.charge(text.len() * 32, offset)?;
                return Ok(Value::from_json(&json, origin));
            }
            _ => {
                let separator = arguments.text(0, "separator")?;
                let parts: Vec<&str> = match (name, separator.as_deref()) {
                    ("lines", _) => text.lines().collect(),
                    (_, None) => text.split_whitespace().collect(),
                    (_, Some("")) => {
                        return Err(TemplateProblem::new(E_VALUE, offset, "split: the separator is empty"));
                    }
                    (_, Some(separator)) => text.split(separator).collect(),
                };
                self.charge(parts.len() * 64, offset)?;
                let items = parts.into_iter().map(|part| Value::text(part).tainted(origin)).collect();
                return self.make(Data::List(Arc::new(items)), offset);
            }
        };
        self.make_text(result, origin, offset)
    }

    fn list_filter(&mut self, name: &str, input: &Value, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        if let Data::Map(map) = &input.data {
            match name {
                "items" | "dictsort" => {
                    let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
                    if name == "dictsort" {
                        pairs.sort_by_key(|(key, _)| *key);
                    }
                    self.charge(pairs.len() * 128, offset)?;
                    let key = |key: &str| Value::text(key).tainted(input.origin);
                    let items = pairs.into_iter().map(|(name, value)| Value::list(vec![key(name), value.clone()]));
                    return self.make(Data::List(Arc::new(items.collect())), offset);
                }
                "values" => return self.make(Data::List(Arc::new(map.values().cloned().collect())), offset),
                "attr" => return self.attr(map, arguments, offset),
                _ => {}
            }
        }
        if matches!(name, "items" | "dictsort" | "values" | "attr")
            || (name == "keys" && !matches!(input.data, Data::Map(_)))
        {
            return Err(wrong(name, input, offset));
        }
        let mut items = self.items_of(input, offset)?;
        let pick =
            |item: Option<Value>| Ok(item.unwrap_or_else(|| Value::undefined(format!("`{name}` of nothing"), None)));
        match name {
            "first" => return pick(items.first().cloned()),
            "last" => return pick(items.last().cloned()),
            "min" | "max" => {
                let mut best: Option<Value> = None;
                for item in items {
                    best = match best {
                        Some(current) => {
                            let less = self.order(&item, &current, offset)? == std::cmp::Ordering::Less;
                            Some(if less == (name == "min") { item } else { current })
                        }
                        None => Some(item),
                    };
                }
                return pick(best.map(|best| best.tainted(input.origin)));
            }
            "sum" => {
                let mut sum = Value::of(Data::Int(0));
                for item in items {
                    sum = self.binary(minijinja::machinery::ast::BinOpKind::Add, &sum, &item, offset)?;
                }
                return Ok(sum);
            }
            "join" => {
                arguments.allow(name, &["separator", "attribute"])?;
                let separator = arguments.text(0, "separator")?.unwrap_or_else(|| "".into());
                let mut text = String::new();
                let origin = input.origin.join(arguments.origin());
                for (index, item) in items.iter().enumerate() {
                    let part = self.text_of(item, offset)?;
                    self.charge(part.len() + separator.len(), offset)?;
                    if index > 0 {
                        text.push_str(&separator);
                    }
                    text.push_str(&part);
                }
                return self.make_text(text, origin, offset);
            }
            "list" | "keys" => {}
            "reverse" => {
                items.reverse();
                if matches!(input.data, Data::Text(_)) {
                    let text: String = items.iter().filter_map(Value::as_text).collect();
                    return self.make_text(text, input.origin, offset);
                }
            }
            "sort" => {
                let mut problem = None;
                self.charge(
                    input.size.saturating_mul(usize::BITS as usize - items.len().leading_zeros() as usize),
                    offset,
                )?;
                items.sort_by(|a, b| {
                    let order = match (a.as_text(), b.as_text()) {
                        (Some(a), Some(b)) => Some(a.cmp(b)),
                        _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
                    };
                    order.unwrap_or_else(|| {
                        problem = Some(format!("sort: {} cannot be compared with {}", a.kind(), b.kind()));
                        std::cmp::Ordering::Equal
                    })
                });
                if let Some(message) = problem {
                    return Err(TemplateProblem::new(E_VALUE, offset, message));
                }
                if arguments.flag(0, "reverse") {
                    items.reverse();
                }
            }
            "unique" => {
                let mut kept: Vec<Value> = Vec::new();
                'items: for item in items {
                    for other in &kept {
                        if self.equal(other, &item, offset)? {
                            continue 'items;
                        }
                    }
                    kept.push(item);
                }
                items = kept;
            }
            _ => items = self.each(name, items, arguments, offset)?,
        }
        self.make(Data::List(Arc::new(items)), offset)
    }

    /// `map(attribute='x')`, `map('filter')`, `select`, `reject`.
    fn each(&mut self, name: &str, items: Vec<Value>, arguments: &Arguments, offset: usize) -> Outcome<Vec<Value>> {
        let mut result = Vec::new();
        let (head, rest) = match arguments.positional.split_first() {
            Some((head, rest)) => (head.as_text().map(str::to_owned), rest.to_vec()),
            None => (None, Vec::new()),
        };
        for item in items {
            self.step(offset)?;
            if name == "map" {
                let attribute = arguments.named.iter().find(|(key, _)| key == "attribute");
                result.push(match (attribute, &head) {
                    (Some((_, attribute)), _) => match (&item.data, attribute.as_text()) {
                        (Data::Map(map), Some(attribute)) => map.get(attribute).cloned().ok_or_else(|| {
                            TemplateProblem::new(E_VALUE, offset, format!("an item has no `{attribute}`"))
                        })?,
                        _ => return Err(wrong(name, &item, offset)),
                    },
                    (None, Some(filter)) if FILTERS.contains(&filter.as_str()) && filter != "map" => {
                        let arguments = Arguments { positional: rest.clone(), named: Vec::new(), offset };
                        self.charge(item.size, offset)?;
                        self.apply(filter, item, &arguments, offset)?
                    }
                    _ => {
                        return Err(TemplateProblem::new(E_VALUE, offset, "map needs a filter's name or attribute=")
                            .with_help("write map('upper') or map(attribute='name')"));
                    }
                });
            } else {
                let holds = match &head {
                    Some(test) => {
                        let argument = rest.first().cloned();
                        self.test_by_name(test, &item, argument.as_ref(), offset)?
                    }
                    None => item.is_true(),
                };
                if holds == (name == "select") {
                    result.push(item);
                }
            }
        }
        Ok(result)
    }

    fn attr(&mut self, map: &Arc<IndexMap<String, Value>>, arguments: &Arguments, offset: usize) -> Outcome<Value> {
        let key =
            arguments.text(0, "name")?.ok_or_else(|| TemplateProblem::new(E_VALUE, offset, "attr needs a name"))?;
        self.charge(key.len(), offset)?;
        Ok(map.get(key.as_ref()).cloned().unwrap_or_else(|| Value::undefined(format!("there is no `{key}`"), None)))
    }
}

fn wrong(filter: &str, input: &Value, offset: usize) -> TemplateProblem {
    TemplateProblem::new(E_VALUE, offset, format!("the filter `{filter}` does not work on {}", input.kind()))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the range is checked, floats are approximate"
)]
fn number_filter(name: &str, input: &Value, arguments: &Arguments, offset: usize) -> Outcome<Value> {
    let origin: Origin = input.origin.join(arguments.origin());
    let data = match name {
        "abs" => match input.data {
            Data::Int(number) => number.checked_abs().map(Data::Int),
            Data::Float(number) => Some(Data::Float(number.abs())),
            _ => None,
        },
        "round" => input.as_f64().map(|number| {
            let digits =
                i32::try_from(arguments.int(0, "digits").ok().flatten().unwrap_or(0).clamp(0, 15)).unwrap_or(0);
            let scale = 10_f64.powi(digits);
            Data::Float((number * scale).round() / scale)
        }),
        "int" => match &input.data {
            Data::Int(number) => Some(Data::Int(*number)),
            Data::Bool(value) => Some(Data::Int(i128::from(*value))),
            Data::Float(number) if number.abs() < 1e18 => Some(Data::Int(number.trunc() as i128)),
            Data::Text(text) => text.trim().parse::<i64>().ok().map(|number| Data::Int(number.into())),
            _ => None,
        },
        _ => match &input.data {
            Data::Int(number) => Some(Data::Float(*number as f64)),
            Data::Float(number) => Some(Data::Float(*number)),
            Data::Text(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Data::Float),
            _ => None,
        },
    };
    // A number says nothing that could hurt, but where it came from is still known.
    match data {
        Some(data) => Ok(Value::of(data).tainted(origin)),
        None => match (name, arguments.get(0, "default")) {
            ("int" | "float", Some(default)) => Ok(default.clone()),
            _ => Err(match input.as_text() {
                Some(text) => {
                    let shown: String = text.chars().take(40).collect();
                    TemplateProblem::new(E_VALUE, offset, format!("`{name}`: {shown:?} is no number"))
                }
                None => wrong(name, input, offset),
            }),
        },
    }
}

/// Lower-case letters, digits and single dashes; never empty, never with a dash at either end.
fn slug(text: &str, length: usize) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= length {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "untitled".to_owned() } else { slug.to_owned() }
}

/// A Markdown link whose text and address cannot break out of it. Addresses other than http, https and mailto are not linked.
fn markdown_link(text: &str, url: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if c.is_control() {
            shown.push(' ');
        } else {
            if "\\`*_{}[]()<>#+-.!|&~".contains(c) {
                shown.push('\\');
            }
            shown.push(c);
        }
    }
    let lower = url.to_ascii_lowercase();
    if !["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme)) {
        return shown;
    }
    let mut address = String::new();
    for byte in url.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&*+,;=%".contains(&byte) {
            address.push(char::from(byte));
        } else {
            let _ = write!(address, "%{byte:02X}");
        }
    }
    format!("[{shown}]({address})")
}
