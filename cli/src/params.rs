//! `-p NAME=VALUE`: parameters as text, typed by the definition's declarations.

use std::fs;

use atta_core::definition::{JobDefinition, check_params, coerce_cli_params};
use atta_core::protocol::api::FieldViolation;
use serde_json::{Map, Value};

use crate::exit::{CommandResult, Exit, Failure};

/// A parameter as it was given: its name and the text.
pub(crate) type Given = (String, String);

/// Splits `NAME=VALUE`; `NAME=@FILE` is the content of a file, `NAME=@@x` is the text `@x`.
pub(crate) fn read(arguments: &[String]) -> CommandResult<Vec<Given>> {
    let mut given: Vec<Given> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("\"-p {argument}\" has no name and value."))
                .with_help("Write -p NAME=VALUE, or -p NAME=@FILE to read the value from a file."));
        };
        if given.iter().any(|(other, _)| other == name) {
            return Err(Failure::usage(format!("Parameter {name} is given twice.")));
        }
        given.push((name.to_owned(), self::value(name, value)?));
    }
    Ok(given)
}

fn value(name: &str, text: &str) -> CommandResult<String> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    if file.starts_with('@') {
        return Ok(file.to_owned());
    }
    let bytes = fs::read(file).map_err(|error| {
        Failure::usage(format!("The value of parameter {name} cannot be read from {file}: {error}."))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        Failure::usage(format!(
            "The value of parameter {name} in {file} is no UTF-8 text: the byte at {} is not valid.",
            error.utf8_error().valid_up_to()
        ))
    })
}

/// Gives the values the types that the definition declares, and checks them.
pub(crate) fn coerce(definition: &JobDefinition, given: &[Given]) -> CommandResult<Map<String, Value>> {
    let typed = coerce_cli_params(definition, given).map_err(|violations| refused(definition, violations))?;
    check_params(definition, &typed).map_err(|violations| refused(definition, violations))?;
    // Only what was given: defaults are filled in where the job is made.
    Ok(typed)
}

/// Gives the values the types that the definition declares. Params that are not given are known elsewhere.
pub(crate) fn type_only(definition: &JobDefinition, given: &[Given]) -> CommandResult<Map<String, Value>> {
    coerce_cli_params(definition, given).map_err(|violations| refused(definition, violations))
}

fn refused(definition: &JobDefinition, violations: Vec<FieldViolation>) -> Failure {
    Failure::new(Exit::Usage, "INVALID_PARAMS", format!("The parameters do not fit {}.", definition.job_type))
        .with_violations(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(argument: &str) -> CommandResult<Vec<Given>> {
        read(&[argument.to_owned()])
    }

    #[test]
    fn a_value_may_hold_anything_also_equals_signs() {
        assert_eq!(read_one("a=b=c d").expect("valid"), [("a".to_owned(), "b=c d".to_owned())]);
        assert_eq!(read_one("a=").expect("valid"), [("a".to_owned(), String::new())]);
        assert_eq!(read_one("a=@@b").expect("valid"), [("a".to_owned(), "@b".to_owned())]);
    }

    #[test]
    fn what_is_no_parameter_is_explained() {
        assert!(read_one("novalue").expect_err("no =").message.contains("has no name and value"));
        assert!(read_one("=x").expect_err("no name").message.contains("has no name and value"));
        assert!(read_one("a=@/nonexistent/file").expect_err("no file").message.contains("cannot be read from"));
        let twice = read(&["a=1".to_owned(), "a=2".to_owned()]).expect_err("twice");
        assert!(twice.message.contains("given twice"));
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_the_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("x");
        fs::write(&file, b"ab\xff").expect("a file");
        let failure = read_one(&format!("a=@{}", file.display())).expect_err("not UTF-8");
        assert!(failure.message.contains("the byte at 2 is not valid"), "{}", failure.message);
    }
}
