//! The keys that secrets are encrypted with: where they come from and how they are kept.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use atta_core::secret::SecretText;
use atta_core::time::{Entropy, random_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The key file in the data directory.
pub(crate) const FILE: &str = "secrets.key";

/// Longest key file that is read.
const LONGEST_FILE: u64 = 64 * 1024;

const HEADER: &str = "# The keys of this server's secrets, the newest first. Whoever has this file can read them all; without it\n\
                      # they are lost. Keep a copy of it apart from the copies of the database.\n";

/// Where the keys come from.
#[derive(Debug, Clone, Default)]
pub enum KeySource {
    /// `secrets.key` in the data directory; made on the first start.
    #[default]
    DataDir,
    /// A file that exists.
    File(PathBuf),
    /// The keys themselves, the newest first, separated by spaces, commas or lines.
    Given(SecretText),
    /// A key that ends with the process.
    Fleeting,
}

/// One key.
pub(super) struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let id = hex::encode(&blake3::derive_key("atta 2026 id of a key of secrets", &*bytes)[..6]);
        Self { id, bytes }
    }

    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        Self::new(Zeroizing::new(random_bytes(entropy)))
    }

    /// Follows from the key, and says nothing about it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            64 => Zeroizing::new(hex::decode(text).ok()?),
            _ => Zeroizing::new(STANDARD.decode(text).ok()?),
        };
        let bytes: [u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self::new(Zeroizing::new(bytes)))
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }
}

/// Keys, the newest first; there is at least one.
#[derive(Debug)]
pub(super) struct KeyRing {
    keys: Vec<Key>,
    /// The file they are kept in, when they are.
    file: Option<PathBuf>,
    /// Where they come from, for people.
    origin: String,
}

impl KeyRing {
    /// Reads the keys. `in_use`: there are secrets already, so no first key is made. An error is a sentence.
    pub(super) fn open(
        source: &KeySource,
        data_dir: &Path,
        entropy: &dyn Entropy,
        in_use: bool,
    ) -> Result<Self, String> {
        match source {
            KeySource::Fleeting => {
                Ok(Self { keys: vec![Key::generate(entropy)], file: None, origin: "this process".to_owned() })
            }
            KeySource::Given(text) => {
                let origin = "ATTA_SECRETS_KEY".to_owned();
                Ok(Self { keys: parse(text.reveal(), &origin)?, file: None, origin })
            }
            KeySource::File(path) => Self::read(path.clone()),
            KeySource::DataDir => {
                let path = data_dir.join(FILE);
                match fs::symlink_metadata(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && in_use => Err(format!(
                        "the key file {} is gone, and secrets are stored that only its keys can open: put it back from \
                         your copy; no new one was made",
                        path.display()
                    )),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let keys = vec![Key::generate(entropy)];
                        write_new(&path, &keys)
                            .map_err(|error| format!("the key file {} cannot be made: {error}", path.display()))?;
                        Ok(Self { keys, origin: path.display().to_string(), file: Some(path) })
                    }
                    _ => Self::read(path),
                }
            }
        }
    }

    fn read(path: PathBuf) -> Result<Self, String> {
        let shown = path.display().to_string();
        let cannot = |error: &io::Error| format!("the key file {shown} cannot be read: {error}");
        let file = File::open(&path).map_err(|error| cannot(&error))?;
        let metadata = file.metadata().map_err(|error| cannot(&error))?;
        if !metadata.is_file() {
            return Err(format!("the key file {shown} is no regular file"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(format!(
                "the key file {shown} is open to others (mode {:04o}): it is not used until `chmod 600 {shown}`; if \
                 somebody else may have read it, rotate the key afterwards",
                metadata.mode() & 0o7777
            ));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(|error| cannot(&error))?;
        Ok(Self { keys: parse(&text, &format!("the key file {shown}"))?, file: Some(path), origin: shown })
    }

    pub(super) fn newest(&self) -> &Key {
        &self.keys[0]
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Puts a new key in front, first in the file. An error changes nothing.
    pub(super) fn add_key(&mut self, entropy: &dyn Entropy) -> Result<(), String> {
        if let KeyRing { file: None, origin, .. } = self {
            return Err(format!(
                "the keys come from {origin}: put a new one in front of the old one there and start the server again; \
                 it encrypts everything anew with the first key"
            ));
        }
        self.keys.insert(0, Key::generate(entropy));
        self.store().inspect_err(|_| drop(self.keys.remove(0)))
    }

    /// Forgets keys, in the file too. The newest one stays.
    pub(super) fn retain(&mut self, needed: impl Fn(&str) -> bool) -> Result<usize, String> {
        let (kept, dropped): (Vec<Key>, Vec<Key>) = std::mem::take(&mut self.keys).into_iter().enumerate().fold(
            (Vec::new(), Vec::new()),
            |mut all, (at, key)| {
                if at == 0 || needed(&key.id) {
                    all.0.push(key);
                } else {
                    all.1.push(key);
                }
                all
            },
        );
        self.keys = kept;
        if dropped.is_empty() || self.file.is_none() {
            return Ok(0);
        }
        let count = dropped.len();
        match self.store() {
            Ok(()) => Ok(count),
            Err(error) => {
                self.keys.extend(dropped);
                Err(error)
            }
        }
    }

    /// Writes the file anew, as a whole or not at all.
    fn store(&self) -> Result<(), String> {
        let Some(path) = &self.file else { return Ok(()) };
        let next = path.with_extension("key.new");
        let write = || {
            // What a crash left.
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            write_new(&next, &self.keys)?;
            fs::rename(&next, path)?;
            sync_parent(path)
        };
        write()
            .map_err(|error| format!("the key file {} cannot be written: {error}; nothing was changed", path.display()))
    }
}

fn parse(text: &str, origin: &str) -> Result<Vec<Key>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in lines {
        for word in line.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            // Never the word itself: it may be a key with a mistake.
            let key = Key::parse(word).ok_or_else(|| {
                format!("{origin} has no key in line {}: a key is 32 random bytes in base64 or hex", index + 1)
            })?;
            if keys.iter().all(|known| known.id != key.id) {
                keys.push(key);
            }
        }
    }
    if keys.is_empty() {
        return Err(format!("{origin} holds no key"));
    }
    Ok(keys)
}

fn write_new(path: &Path, keys: &[Key]) -> io::Result<()> {
    let mut text = Zeroizing::new(HEADER.to_owned());
    for key in keys {
        text.push_str(&key.text());
        text.push('\n');
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
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

    fn entropy() -> Counted {
        Counted(AtomicU64::new(1))
    }

    #[test]
    fn the_first_start_makes_a_file_for_its_owner_alone_and_the_next_one_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let entropy = entropy();
        let made = KeyRing::open(&KeySource::DataDir, dir.path(), &entropy, false).unwrap();
        let file = dir.path().join("secrets.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let read = KeyRing::open(&KeySource::DataDir, dir.path(), &entropy, true).unwrap();
        assert_eq!(read.newest().id(), made.newest().id());
        assert!(!format!("{read:?}").contains(made.newest().text().as_str()));
    }

    #[test]
    fn no_second_first_key_is_made_while_secrets_wait_for_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let problem = KeyRing::open(&KeySource::DataDir, dir.path(), &entropy(), true).unwrap_err();
        assert!(problem.contains("is gone") && problem.contains("put it back"), "{problem}");
        assert!(!dir.path().join("secrets.key").exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        KeyRing::open(&KeySource::DataDir, dir.path(), &entropy(), false).unwrap();
        let file = dir.path().join("secrets.key");
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let problem = KeyRing::open(&KeySource::File(file.clone()), dir.path(), &entropy(), false).unwrap_err();
            assert!(problem.contains("open to others") && problem.contains("chmod 600"), "{problem}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_not_shown() {
        for (text, words) in
            [("", "holds no key"), ("# only words\n", "holds no key"), ("# x\nhunter2hunter2\n", "in line 2")]
        {
            let problem = parse(text, "the file").unwrap_err();
            assert!(problem.contains(words) && !problem.contains("hunter2"), "{problem}");
        }
        let hex = "00".repeat(32);
        let both = format!("{hex}, {}", STANDARD.encode([1_u8; 32]));
        let keys = parse(&both, "ATTA_SECRETS_KEY").unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(parse(&format!("{hex}\n{hex}"), "x").unwrap().len(), 1);
    }

    #[test]
    fn a_new_key_stands_first_and_the_old_one_goes_when_nothing_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let entropy = entropy();
        let mut ring = KeyRing::open(&KeySource::DataDir, dir.path(), &entropy, false).unwrap();
        let old = ring.newest().id().to_owned();
        ring.add_key(&entropy).unwrap();
        let read = |count: usize| {
            let ring = KeyRing::open(&KeySource::DataDir, dir.path(), &entropy, true).unwrap();
            assert_eq!(ring.len(), count);
            ring.newest().id().to_owned()
        };
        assert_eq!(read(2), ring.newest().id());
        assert_eq!(ring.retain(|id| id == old), Ok(0));
        assert_eq!(read(2), ring.newest().id());
        assert_eq!(ring.retain(|_| false), Ok(1));
        assert_eq!(read(1), ring.newest().id());
        assert_ne!(ring.newest().id(), old);
        let mode = fs::metadata(dir.path().join("secrets.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}
