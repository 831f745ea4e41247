//! What is kept of attempts outside of the ant, in its shims and in files: sealed, because there are secrets in it, and
//! data directories get searched and copied.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use atta_core::protocol::AttemptId;
use atta_core::time::{Entropy, random_bytes};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

const KEY: usize = 32;
/// Long enough to be drawn at random each time.
const NONCE: usize = 24;

/// Seals and opens with the ant's own key.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
    directory: String,
    entropy: Arc<dyn Entropy>,
}

/// What is sealed: one does not open in the place of the other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Everything about an attempt.
    Record,
    /// How far it has come since.
    Memory,
    /// Why it was stopped.
    Reason,
}

impl Seal {
    /// With the key in this file, which is made when there is none. Blocks.
    pub(crate) fn open_or_make(path: &Path, entropy: Arc<dyn Entropy>) -> io::Result<Self> {
        let key = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, &*entropy)?,
            Err(error) => return Err(error),
        };
        let key: Zeroizing<[u8; KEY]> = Zeroizing::new(key.as_slice().try_into().map_err(|_| {
            io::Error::other("it is no key; remove it if no attempt of an earlier ant is to be taken up")
        })?);
        let directory = hex::encode(&blake3::derive_key("atta 2026 data directory of an ant", &*key)[..16]);
        Ok(Self { cipher: XChaCha20Poly1305::new(&Key::from(*key)), directory, entropy })
    }

    /// What tells the directory of the key from others: nobody learns anything about the key by it.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Seals something about an attempt.
    pub(crate) fn seal(&self, attempt: &AttemptId, kind: Kind, what: &impl Serialize) -> io::Result<Vec<u8>> {
        let text = Zeroizing::new(serde_json::to_vec(what)?);
        let nonce = random_bytes::<NONCE>(&*self.entropy);
        let payload = Payload { msg: &text, aad: &bound_to(attempt, kind) };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| io::Error::other("it is too long to be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// `None`: it is not what was sealed, or with another key, or by a build that wrote something else.
    pub(crate) fn open<T: DeserializeOwned>(&self, attempt: &AttemptId, kind: Kind, sealed: &[u8]) -> Option<T> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: &bound_to(attempt, kind) };
        let text = Zeroizing::new(self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?);
        serde_json::from_slice(&text).ok()
    }
}

fn bound_to(attempt: &AttemptId, kind: Kind) -> Vec<u8> {
    format!("atta-attempt-1\0{kind:?}\0{attempt}").into_bytes()
}

fn make(path: &Path, entropy: &dyn Entropy) -> io::Result<Zeroizing<Vec<u8>>> {
    let key = Zeroizing::new(random_bytes::<KEY>(entropy).to_vec());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Counted(AtomicU64);

    impl Entropy for Counted {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
        }
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_with_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let entropy: Arc<dyn Entropy> = Arc::new(Counted(AtomicU64::new(1)));
        let seal = Seal::open_or_make(&path, entropy.clone()).unwrap();
        let (attempt, other) = (AttemptId("job_1-1".to_owned()), AttemptId("job_1-2".to_owned()));
        let sealed = seal.seal(&attempt, Kind::Memory, &"hunter2hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        let again = Seal::open_or_make(&path, entropy.clone()).unwrap();
        assert_eq!(again.open(&attempt, Kind::Memory, &sealed), Some("hunter2hunter2".to_owned()));
        assert_eq!((again.directory(), seal.directory().len()), (seal.directory(), 32));
        assert_eq!(again.open::<String>(&attempt, Kind::Record, &sealed), None);
        assert_eq!(again.open::<String>(&other, Kind::Memory, &sealed), None);
        assert_eq!(again.open::<String>(&attempt, Kind::Memory, &sealed[..10]), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        let stranger = Seal::open_or_make(&path, entropy).unwrap();
        assert_eq!(stranger.open::<String>(&attempt, Kind::Memory, &sealed), None);
        assert_ne!(stranger.directory(), seal.directory(), "it may be another disk");
        fs::write(&path, "short").unwrap();
        assert!(Seal::open_or_make(&path, Arc::new(Counted(AtomicU64::new(1)))).is_err());
    }
}
