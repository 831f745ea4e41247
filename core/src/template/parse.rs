//! From source text to minijinja's syntax tree.

use minijinja::machinery::{Token, ast, parse as parse_template, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::TemplateProblem;
use super::go_template::go_template_hint;
use super::problem::{E_COMMENT, E_GO, E_LIMIT, E_SYNTAX};

/// Which comments a template has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// `{# … #}`.
    Text,
    /// `{## … ##}`: `${#x}` is shell.
    Script,
}

/// Parses a template. Friendly about Go-template syntax and about comments in scripts.
pub(crate) fn parse(source: &str, flavour: Flavour, max_source: usize) -> Result<ast::Stmt<'_>, TemplateProblem> {
    if source.len() > max_source {
        return Err(TemplateProblem::new(
            E_LIMIT,
            None,
            format!("the template has {} bytes, more than {max_source}", source.len()),
        ));
    }
    // The tree's positions have 16 bits for lines.
    if source.bytes().filter(|byte| *byte == b'\n').count() > 60_000 {
        return Err(TemplateProblem::new(E_LIMIT, None, "the template has more than 60000 lines"));
    }
    if let Some(go) = go_template_hint(source) {
        return Err(TemplateProblem::new(E_GO, go.offset, "this is Go-template syntax; templates here are Jinja")
            .with_help(format!("write {}", go.jinja)));
    }
    if flavour == Flavour::Script {
        refuse_jinja_comment(source)?;
    }
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    if flavour == Flavour::Script {
        builder.comment_delimiters("{##", "##}");
    }
    let syntax = builder.build().map_err(|error| TemplateProblem::new(E_SYNTAX, None, error.to_string()))?;
    refuse_endless_expressions(source, &syntax)?;
    match parse_template(source, "template", syntax) {
        Ok(tree) => Ok(tree),
        Err(error) => {
            let offset = error.range().map(|range| range.start.min(source.len()));
            let detail = error.detail().unwrap_or("this is no valid template").to_owned();
            let problem = TemplateProblem::new(E_SYNTAX, offset, format!("template syntax: {detail}"));
            Err(match offset {
                Some(at) if source[..at].rfind("{{").is_some_and(|open| source[open..at].contains('$')) => {
                    problem.with_help("names in templates have no `$`: {{ Name }}")
                }
                _ => problem,
            })
        }
    }
}

/// The parser and the tree's destructor recurse for each operator of an expression and for each `elif`.
fn refuse_endless_expressions(source: &str, syntax: &SyntaxConfig) -> Result<(), TemplateProblem> {
    let (mut in_action, mut elifs) = (0_u32, 0_u32);
    for token in tokenize(source, false, syntax.clone()) {
        // The parser says it better.
        let Ok((token, span)) = token else { return Ok(()) };
        match token {
            Token::VariableStart | Token::BlockStart => in_action = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        in_action += 1;
        if in_action > 1000 || elifs > 200 {
            return Err(TemplateProblem::limit(
                span.start_offset as usize,
                "one template expression has more than 1000 tokens, or there are more than 200 `elif`",
            ));
        }
    }
    Ok(())
}

fn refuse_jinja_comment(source: &str) -> Result<(), TemplateProblem> {
    let bytes = source.as_bytes();
    let mut from = 0;
    while let Some(found) = source[from..].find("{#") {
        let at = from + found;
        from = at + 2;
        let is_shell = at > 0 && bytes[at - 1] == b'$';
        let is_script_comment = bytes.get(at + 2) == Some(&b'#');
        if is_script_comment {
            // Skip the whole comment.
            match source[from..].find("##}") {
                Some(end) => from += end + 3,
                None => return Ok(()),
            }
        } else if !is_shell && source[from..].contains("#}") {
            return Err(TemplateProblem::new(
                E_COMMENT,
                at,
                "`{# … #}` is no comment in a script: `{#` is shell syntax",
            )
            .with_help("write {## … ##} for a template comment, or a shell comment: # …"));
        }
    }
    Ok(())
}
