//! Recognising Go-template syntax, so that the message can name the Jinja form.

/// A piece of Go-template syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoTemplate {
    /// Byte offset of the action's `{{`.
    pub offset: usize,
    /// The Jinja form.
    pub jinja: String,
}

/// The first piece of Go-template syntax in a source: `{{.X}}`, `{{if ge (F "a") 10}}`, `{{range …}}`, `{{else}}`, `{{end}}`, `{{$x := …}}`.
pub fn go_template_hint(source: &str) -> Option<GoTemplate> {
    let mut from = 0;
    while let Some(found) = source[from..].find("{{") {
        let offset = from + found;
        let rest = &source[offset + 2..];
        let end = rest.find("}}")?;
        let action = rest[..end].trim_matches(|c: char| c.is_whitespace() || c == '-');
        if let Some(jinja) = jinja_form(action) {
            return Some(GoTemplate { offset, jinja });
        }
        from = offset + 2 + end + 2;
    }
    None
}

fn jinja_form(action: &str) -> Option<String> {
    let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((action, ""));
    let rest = rest.trim();
    match word {
        "end" if rest.is_empty() => Some("{% endif %} or {% endfor %}".to_owned()),
        "else" if rest.is_empty() => Some("{% else %}".to_owned()),
        "else" if rest.starts_with("if ") => Some(format!("{{% elif {} %}}", expression(&rest[3..]))),
        "if" | "with" if !rest.is_empty() => Some(format!("{{% if {} %}} … {{% endif %}}", expression(rest))),
        "range" if !rest.is_empty() => {
            let list = rest.split_once(":=").map_or(rest, |(_, list)| list.trim());
            Some(format!("{{% for item in {} %}} … {{% endfor %}}", expression(list)))
        }
        "define" | "template" | "block" if rest.starts_with('"') => {
            Some("{% macro name() %} … {% endmacro %}".to_owned())
        }
        _ if action.starts_with('$') => {
            let (name, value) = action.split_once(":=").or_else(|| action.split_once('='))?;
            let name = name.trim().trim_start_matches('$');
            Some(format!("{{% set {name} = {} %}}", expression(value)))
        }
        _ if action.starts_with('.') && !action.starts_with("..") => Some(format!("{{{{ {} }}}}", expression(action))),
        // A Go call: a word followed by a string, a field or a parenthesis without comma.
        _ if is_name(word) && (rest.starts_with('.') || rest.starts_with('"')) => {
            Some(format!("{{{{ {} }}}}", expression(action)))
        }
        _ => None,
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(word, "not" | "if" | "in" | "is" | "and" | "or")
}

/// Translates a Go pipeline as far as it is plain; good enough for a hint.
fn expression(go: &str) -> String {
    let tokens = tokens(go.trim());
    let mut at = 0;
    let text = pipeline(&tokens, &mut at);
    if text.is_empty() { go.trim().to_owned() } else { text }
}

fn tokens(go: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = go.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '(' | ')' | '|' => tokens.push(c.to_string()),
            '"' | '`' => {
                let mut text = String::from('"');
                for next in chars.by_ref() {
                    text.push(if next == '`' { '"' } else { next });
                    if next == c {
                        break;
                    }
                }
                tokens.push(text);
            }
            _ => {
                let mut word = String::from(c);
                while let Some(next) = chars.peek().filter(|n| !n.is_whitespace() && !"()|\"`".contains(**n)) {
                    word.push(*next);
                    chars.next();
                }
                tokens.push(word);
            }
        }
    }
    tokens
}

fn pipeline(tokens: &[String], at: &mut usize) -> String {
    let mut text = call(tokens, at);
    while *at < tokens.len() && tokens[*at] == "|" {
        *at += 1;
        let filter = call(tokens, at);
        text = format!("{text} | {filter}");
    }
    text
}

fn call(tokens: &[String], at: &mut usize) -> String {
    let mut words: Vec<String> = Vec::new();
    while *at < tokens.len() {
        match tokens[*at].as_str() {
            "|" => break,
            ")" => {
                *at += 1;
                break;
            }
            "(" => {
                *at += 1;
                let inner = pipeline(tokens, at);
                words.push(inner);
            }
            word => {
                words.push(word.trim_start_matches(['.', '$']).to_owned());
                *at += 1;
            }
        }
    }
    let operator = match words.first().map(String::as_str) {
        Some("eq") => "==",
        Some("ne") => "!=",
        Some("lt") => "<",
        Some("le") => "<=",
        Some("gt") => ">",
        Some("ge") => ">=",
        Some("and") => "and",
        Some("or") => "or",
        Some("not") if words.len() == 2 => return format!("not {}", words[1]),
        Some(_) if words.len() > 1 => return format!("{}({})", words[0], words[1..].join(", ")),
        _ => return words.join(" "),
    };
    words[1..].join(&format!(" {operator} "))
}
