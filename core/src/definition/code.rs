//! The codes of diagnostics: stable, documented in docs/diagnostics.md.

/// The file holds nothing but blanks and comments.
pub const EMPTY: &str = "E-EMPTY";
/// The file has more bytes than a definition may have.
pub const TOO_LARGE: &str = "E-TOO-LARGE";
/// The file holds control characters that no text has.
pub const BINARY: &str = "E-BINARY";
/// The file is not UTF-8.
pub const ENCODING: &str = "E-ENCODING";
/// The text is not valid YAML.
pub const YAML: &str = "E-YAML";
/// A tab where YAML wants spaces.
pub const TAB: &str = "E-TAB";
/// More than one YAML document in a file.
pub const MULTIPLE_DOCUMENTS: &str = "E-MULTIPLE-DOCUMENTS";
/// Collections are nested too deeply.
pub const DEPTH: &str = "E-DEPTH";
/// Too many YAML values.
pub const NODES: &str = "E-NODES";
/// Aliases or defaults blow the document up.
pub const ALIAS_EXPANSION: &str = "E-ALIAS-EXPANSION";
/// A YAML tag.
pub const YAML_TAG: &str = "E-YAML-TAG";
/// A key that is not text.
pub const YAML_KEY: &str = "E-YAML-KEY";
/// `<<` with something that is no mapping.
pub const MERGE_KEY: &str = "E-MERGE-KEY";
/// A key stands twice in one mapping.
pub const DUPLICATE_KEY: &str = "E-DUPLICATE-KEY";
/// A template without quotes.
pub const UNQUOTED_TEMPLATE: &str = "E-UNQUOTED-TEMPLATE";
/// A value of the wrong type.
pub const TYPE: &str = "E-TYPE";
/// A key that does not exist.
pub const UNKNOWN_KEY: &str = "E-UNKNOWN-KEY";
/// A required key is absent.
pub const MISSING_KEY: &str = "E-MISSING-KEY";
/// A value that is not one of the allowed ones.
pub const VALUE: &str = "E-VALUE";
/// A number outside its range.
pub const RANGE: &str = "E-RANGE";
/// A name with characters that names may not have.
pub const NAME: &str = "E-NAME";
/// A name that already means something.
pub const RESERVED_NAME: &str = "E-RESERVED-NAME";
/// Two tasks with one name.
pub const DUPLICATE_TASK: &str = "E-DUPLICATE-TASK";
/// More tasks than a definition may have.
pub const TOO_MANY_TASKS: &str = "E-TOO-MANY-TASKS";
/// Not a duration.
pub const DURATION: &str = "E-DURATION";
/// Not a number of bytes.
pub const SIZE: &str = "E-SIZE";
/// Not a cron line.
pub const CRON: &str = "E-CRON";
/// A cron line that never comes true.
pub const CRON_NEVER: &str = "E-CRON-NEVER";
/// Not a time zone.
pub const TIMEZONE: &str = "E-TIMEZONE";
/// Not a semantic version.
pub const VERSION: &str = "E-VERSION";
/// Not a regular expression.
pub const PATTERN: &str = "E-PATTERN";
/// A default or enum value that its own parameter refuses.
pub const PARAM_DEFAULT: &str = "E-PARAM-DEFAULT";
/// Two keys that exclude each other.
pub const CONFLICT: &str = "E-CONFLICT";
/// An option of another method.
pub const OPTION: &str = "E-OPTION";
/// A key of the language whose machinery this version does not have yet.
pub const UNSUPPORTED: &str = "E-UNSUPPORTED";
/// A path that leaves the task's directory.
pub const PATH: &str = "E-PATH";
/// A route for something that is no result.
pub const ROUTE_RESULT: &str = "E-ROUTE-RESULT";
/// A route to something that is no target.
pub const ROUTE_TARGET: &str = "E-ROUTE-TARGET";
/// Two routes for the same result.
pub const ROUTE_OVERLAP: &str = "E-ROUTE-OVERLAP";
/// A word that an `always_run` task may not use.
pub const ALWAYS_RUN: &str = "E-ALWAYS-RUN";
/// A definition that forks itself.
pub const FORK_SELF: &str = "E-FORK-SELF";
/// A definition that is triggered by its own end.
pub const TRIGGER_SELF: &str = "E-TRIGGER-SELF";
/// A template uses a name that nothing declares.
pub const UNDECLARED: &str = "E-UNDECLARED";
/// A secret stands where others can see it.
pub const SECRET_PLACE: &str = "E-SECRET-PLACE";
/// A param that is declared secret.
pub const SECRET_PARAM: &str = "E-SECRET-PARAM";
/// A templated duration or number that did not render to one.
pub const FIELD: &str = "E-FIELD";
/// The rest of the problems is only counted.
pub const TOO_MANY_PROBLEMS: &str = "E-TOO-MANY-PROBLEMS";
/// A template reads a task that need not have run before.
pub const NOT_ANCESTOR: &str = "W-NOT-ANCESTOR";
/// A key without effect.
pub const UNUSED_KEY: &str = "W-UNUSED-KEY";
/// A URL that no request can go to.
pub const URL: &str = "E-URL";
/// Not a JSON Schema, or one that is not supported.
pub const SCHEMA: &str = "E-SCHEMA";
