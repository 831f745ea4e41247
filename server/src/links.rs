//! Signed links by which one person votes on one approval.
//!
//! A token says who votes and until when, and holds an HMAC over both and the approval's id. Nothing about it is stored:
//! that it was used is seen by the vote, and the key lies in the data directory.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use atta_core::time::{Entropy, UnixMillis, random_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// How long a link is good when the approval has no deadline.
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(7 * 24);

pub(crate) const KEY_FILE: &str = "links.key";
const KEY_BYTES: usize = 32;

/// Makes and checks links.
pub(crate) struct Links {
    key: Zeroizing<Vec<u8>>,
}

/// Why a link is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// It is no token at all.
    #[error("the link is damaged: was it copied whole?")]
    Malformed,
    /// It was changed, or is for something else.
    #[error("the link is not one of this server for this approval")]
    Forged,
    /// Its time is over.
    #[error("the link was good until {0}: ask for another one")]
    Expired(String),
}

impl LinkError {
    /// Stable machine code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "LINK_DAMAGED",
            Self::Forged => "LINK_INVALID",
            Self::Expired(_) => "LINK_EXPIRED",
        }
    }
}

impl Links {
    /// Reads the key of the data directory; makes one, readable by its owner only, when there is none.
    pub(crate) fn open(data_dir: &Path, entropy: &dyn Entropy) -> std::io::Result<Self> {
        let path = data_dir.join(KEY_FILE);
        match std::fs::read(&path) {
            Ok(key) if key.len() == KEY_BYTES => return Ok(Self { key: Zeroizing::new(key) }),
            Ok(_) => {
                let message = format!("{} is damaged: remove it, links that were sent end then", path.display());
                return Err(std::io::Error::other(message));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let key: Zeroizing<Vec<u8>> = Zeroizing::new(random_bytes::<KEY_BYTES>(entropy).to_vec());
        // Whole or not at all: a half-written key would be damaged for ever.
        let new = data_dir.join(format!("{KEY_FILE}.new"));
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        Ok(Self { key })
    }

    /// A token with which `voter` can vote, and until when.
    pub(crate) fn make(
        &self,
        approval: &str,
        voter: &str,
        deadline: Option<UnixMillis>,
        now: UnixMillis,
    ) -> (String, UnixMillis) {
        let expires = deadline.unwrap_or_else(|| now.plus(LIFETIME));
        let claims = format!("{}.{voter}", expires.0);
        let signature = self.mac(approval, &claims).finalize().into_bytes();
        (format!("{}.{}", URL_SAFE_NO_PAD.encode(&claims), URL_SAFE_NO_PAD.encode(signature)), expires)
    }

    /// Who may vote with a token.
    pub(crate) fn check(&self, approval: &str, token: &str, now: UnixMillis) -> Result<String, LinkError> {
        let (claims, signature) = token.split_once('.').ok_or(LinkError::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| LinkError::Malformed)?;
        let claims = String::from_utf8(claims).map_err(|_| LinkError::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkError::Malformed)?;
        // In constant time.
        self.mac(approval, &claims).verify_slice(&signature).map_err(|_| LinkError::Forged)?;
        let (expires, voter) = claims.split_once('.').ok_or(LinkError::Malformed)?;
        let expires = UnixMillis(expires.parse().map_err(|_| LinkError::Malformed)?);
        if expires <= now {
            return Err(LinkError::Expired(expires.to_rfc3339()));
        }
        Ok(voter.to_owned())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, approval: &str, claims: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        // The length keeps the parts apart.
        mac.update(&(approval.len() as u64).to_be_bytes());
        mac.update(approval.as_bytes());
        mac.update(claims.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Count(AtomicU64);

    impl Entropy for Count {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst)
        }
    }

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[test]
    fn a_token_is_good_for_one_approval_one_voter_and_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let entropy = Count(AtomicU64::new(3));
        let links = Links::open(dir.path(), &entropy).unwrap();
        let (token, expires) = links.make("apr_1", "alice@example.org", None, NOW);
        assert_eq!(expires, NOW.plus(LIFETIME));
        assert_eq!(links.check("apr_1", &token, NOW), Ok("alice@example.org".to_owned()));
        assert_eq!(links.check("apr_2", &token, NOW), Err(LinkError::Forged));
        assert!(matches!(links.check("apr_1", &token, expires), Err(LinkError::Expired(_))));
        // Another voter or a later end under the same signature.
        let signature = token.split_once('.').unwrap().1;
        for claims in [format!("{}.bob", expires.0), format!("{}.alice@example.org", expires.0 + 1)] {
            let forged = format!("{}.{signature}", URL_SAFE_NO_PAD.encode(claims));
            assert_eq!(links.check("apr_1", &forged, NOW), Err(LinkError::Forged));
        }
        for damaged in ["", ".", "x", "a.b", &token[..token.len() - 4], &format!("{token}x"), "é.é", "..."] {
            assert!(links.check("apr_1", damaged, NOW).is_err(), "{damaged}");
        }
        // The same key after a restart, another one in another directory.
        assert!(Links::open(dir.path(), &entropy).unwrap().check("apr_1", &token, NOW).is_ok());
        let other = tempfile::tempdir().unwrap();
        assert_eq!(Links::open(other.path(), &entropy).unwrap().check("apr_1", &token, NOW), Err(LinkError::Forged));
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(KEY_FILE), "short").unwrap();
        assert!(Links::open(dir.path(), &entropy).is_err());
    }
}
