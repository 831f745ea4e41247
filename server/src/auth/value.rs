//! What a token looks like: `atta_ROLE_` and 64 hex digits of randomness, then 8 of a checksum over all before them.
//!
//! The beginning lets people and scanners of repositories recognise it, the checksum tells a token that was copied by
//! half from one that is wrong. Its hash is stored: with 256 random bits behind it there is nothing to try out, so that
//! no slow hash is needed.

use atta_core::protocol::access::Role;
use atta_core::secret::SecretText;
use atta_core::time::{Entropy, random_bytes};

const PREFIX: &str = "atta_";
const RANDOM: usize = 64;
const CHECKSUM: usize = 8;

/// A new value.
pub(crate) fn mint(role: Role, entropy: &dyn Entropy) -> SecretText {
    let mut text = String::with_capacity(PREFIX.len() + 10 + RANDOM + CHECKSUM);
    text.push_str(PREFIX);
    text.push_str(role.as_str());
    text.push('_');
    text.push_str(&hex::encode(random_bytes::<{ RANDOM / 2 }>(entropy)));
    let checksum = checksum(&text);
    text.push_str(&checksum);
    SecretText::new(text)
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..CHECKSUM].to_owned()
}

/// Whether a text is a whole token, if perhaps nobody's.
pub(super) fn is_whole(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    let Some((role, digits)) = rest.split_once('_') else { return false };
    role.parse::<Role>().is_ok_and(|known| known.as_str() == role)
        && digits.len() == RANDOM + CHECKSUM
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.ends_with(&checksum(&text[..text.len() - CHECKSUM]))
}

/// What of a token is stored, in hex.
pub(crate) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
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
    fn a_token_says_what_it_is_and_shows_damage() {
        let entropy = Counted(AtomicU64::new(1));
        for role in Role::ALL {
            let (one, other) = (mint(role, &entropy), mint(role, &entropy));
            assert_ne!(one.reveal(), other.reveal());
            let text = one.reveal();
            assert!(text.starts_with(&format!("atta_{role}_")) && is_whole(text), "{text}");
            for damaged in [&text[..text.len() - 1], &text[1..], &format!("{text}0"), &text.to_uppercase(), ""] {
                assert!(!is_whole(damaged), "{damaged}");
            }
            let last = if text.ends_with('0') { "1" } else { "0" };
            assert!(!is_whole(&format!("{}{last}", &text[..text.len() - 1])));
        }
        assert!(!is_whole("atta_root_00"));
    }
}
