//! Who asks, and what they may do.
//!
//! * `value`: what a token looks like, and its hash
//! * `table`: the tokens in memory, as the database has them
//! * `limit`: how often somebody may be wrong
//! * `offline`: making and revoking tokens while no server runs
//!
//! Which role a route needs stands where the route is listed (`api/access.rs`). Only the scheduler's writer changes
//! tokens.

mod limit;
mod offline;
mod table;
mod value;

pub(crate) use limit::Failures;
pub use offline::{OfflineError, OfflineTokens};
pub(crate) use table::shown;
pub use table::{Caller, Denied, Tokens};
pub(crate) use value::{hash, mint};

/// Whose requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMode {
    /// Everybody's who reaches the server; a token that is shown is checked all the same. For loopback addresses only.
    #[default]
    Open,
    /// Those with a token whose role allows the request.
    Required,
}
