//! The part of Atta that decides.
//!
//! Nothing in this crate reads a clock, a disk, a socket, the environment or a source of randomness: all of that is
//! passed in. The crates around it are thin shells that perform what is decided here.
//!
//! * [`budget`]: what agents may use up together, and what each gets of it
//! * [`definition`]: YAML text → positioned tree → typed, validated [`definition::JobDefinition`], or diagnostics
//! * [`template`]: the template language and contextual shell quoting
//! * [`graph`]: the compiled plan of a definition: edges, entries, loops, routes
//! * [`engine`]: `decide(state, plan, event) -> effects`, the one place where anything changes state
//! * [`redact`]: keeping those values out of what tasks write
//! * [`rehearsal`]: what a job would do, without running anything
//! * [`resilience`]: trying again, leaving alone, beginning anew, leaving out
//! * [`secret`]: values that nobody may see
//! * [`protocol`]: what queen and ants, server and clients say to each other

pub mod budget;
pub mod definition;
pub mod engine;
pub mod graph;
pub mod protocol;
pub mod redact;
pub mod rehearsal;
pub mod resilience;
pub mod secret;
pub mod template;
pub mod time;
