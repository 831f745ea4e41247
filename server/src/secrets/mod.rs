//! Configs and secrets: what is stored with the server instead of in definitions.
//!
//! * `table`: the configs in memory, as the database has them; secrets stay encrypted there until one is asked for
//! * `keyring`: the keys, their file, their rotation
//! * `held`: the secrets of attempts that run, so that what ants report is redacted once more
//! * `cipher`: one value, sealed and opened
//!
//! Only the scheduler's writer changes anything here. Everybody may look a secret up, and must not keep it.

mod cipher;
mod held;
mod keyring;
mod table;

pub use held::HeldSecrets;
pub(crate) use held::Said;
pub(crate) use keyring::FILE as KEY_FILE;
pub use keyring::KeySource;
pub use table::{SecretError, Secrets};
