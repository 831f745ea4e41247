//! The documentation holds: its definitions load, its commands print what it shows, its links lead somewhere.
//!
//! The words behind the language of a fence say what a block is, and nobody sees them in the rendered page:
//!
//! | fence | the block is |
//! |---|---|
//! | `yaml` | a whole definition, which loads; or one whose first line is `# refused: CODE`, which does not |
//! | `yaml file=NAME` | the same, and a file for the `console` blocks that follow it on the page |
//! | `yaml fragment=job`, `fragment=tasks`, `fragment=task` | keys of a job, a list of tasks, keys of a task; `params=A,B` are declared around it |
//! | `yaml other=SYSTEM` | not ours; well-formed YAML |
//! | `console` | commands behind `$ ` with what they print; `…` stands for anything, on a line of its own for any number of lines |

mod blocks;
mod commands;
mod links;
mod operations;
mod page;
