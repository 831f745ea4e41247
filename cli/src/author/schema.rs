//! `atta schema`: the JSON Schema of definitions, for editors.

use atta_core::definition::json_schema;

use crate::exit::{CommandResult, Exit};
use crate::output;

/// Prints it.
pub(crate) fn schema() -> CommandResult {
    output::print_json(&json_schema())?;
    Ok(Exit::Success)
}
