//! Sealing and opening one value.

use atta_core::secret::SecretText;
use atta_core::time::{Entropy, random_bytes};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305, XNonce};

use super::keyring::Key;
use crate::store::Sealed;

/// Bytes of a nonce: long enough to be drawn at random for every value.
const NONCE: usize = 24;

/// What the ciphertext is bound to: a value that is moved to another row does not open there.
fn bound_to(scope: &str, name: &str) -> Vec<u8> {
    format!("atta-config-1\0{scope}\0{name}").into_bytes()
}

pub(super) fn seal(key: &Key, scope: &str, name: &str, value: &SecretText, entropy: &dyn Entropy) -> Option<Sealed> {
    let nonce = random_bytes::<NONCE>(entropy);
    let aad = bound_to(scope, name);
    let payload = Payload { msg: value.reveal().as_bytes(), aad: &aad };
    let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload).ok()?;
    Some(Sealed { key_id: key.id().to_owned(), nonce: nonce.to_vec(), ciphertext })
}

/// `None`: it is not what was sealed.
pub(super) fn open(key: &Key, scope: &str, name: &str, sealed: &Sealed) -> Option<SecretText> {
    let nonce: [u8; NONCE] = sealed.nonce.as_slice().try_into().ok()?;
    let aad = bound_to(scope, name);
    let payload = Payload { msg: &sealed.ciphertext, aad: &aad };
    let bytes = cipher(key).decrypt(&XNonce::from(nonce), payload).ok()?;
    // What was sealed is text: this takes the bytes over without a copy.
    String::from_utf8(bytes).ok().map(SecretText::new)
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&CipherKey::from(*key.bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Counted(AtomicU64);

    impl Entropy for Counted {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
        }
    }

    #[test]
    fn a_value_opens_only_in_its_place_with_its_key_and_unchanged() {
        let entropy = Counted(AtomicU64::new(7));
        let (key, other) = (Key::generate(&entropy), Key::generate(&entropy));
        let value = SecretText::new("s3cret".to_owned());
        let sealed = seal(&key, "build", "Token", &value, &entropy).unwrap();
        assert_eq!(open(&key, "build", "Token", &sealed), Some(value.clone()));
        assert_eq!(open(&key, "build", "Other", &sealed), None);
        assert_eq!(open(&key, "", "Token", &sealed), None);
        assert_eq!(open(&other, "build", "Token", &sealed), None);
        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert_eq!(open(&key, "build", "Token", &changed), None);
        // The same value is never the same ciphertext.
        assert_ne!(seal(&key, "build", "Token", &value, &entropy).unwrap(), sealed);
        assert!(!sealed.ciphertext.windows(6).any(|window| window == b"s3cret"));
    }
}
