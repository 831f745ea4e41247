//! Files that programs leave and find: what an attempt keeps is stored once with its digest, and who reads it gets it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::protocol::{AttemptId, Digest};
use atta_server::artifacts::{ArtifactError, ArtifactReader, ArtifactStore, LocalArtifacts, Removal};
use atta_server::simulation as server;

use super::schedule::Colony;
use super::world::{Ran, World};

/// Paths below the directory of a task, with digests and sizes.
pub(super) type Listing = BTreeMap<String, (Digest, u64)>;

/// What each program writes, whoever it is of.
const SAME: &[u8] = b"as everybody has it\n";
/// The mode of the directory of an attempt that was begun.
const BEGUN: u32 = 0o1700;

/// The queen's contents, with nothing happening beside the thread on which she runs.
pub(super) struct Contents(pub(super) LocalArtifacts);

#[async_trait::async_trait]
impl ArtifactStore for Contents {
    async fn put(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), ArtifactError> {
        server::wait(self.0.put(digest, size, file))
    }

    async fn get(&self, digest: &Digest, to: &Path) -> Result<(), ArtifactError> {
        server::wait(self.0.get(digest, to))
    }

    async fn open(&self, digest: &Digest, from: u64) -> Result<ArtifactReader, ArtifactError> {
        server::wait(ArtifactStore::open(&self.0, digest, from))
    }

    async fn remove(&self, digest: &Digest, stored_lately: Duration) -> Result<Removal, ArtifactError> {
        server::wait(self.0.remove(digest, stored_lately))
    }

    async fn contains(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        server::wait(self.0.contains(digest))
    }

    async fn aged(&self, first: u8, age: Duration) -> Result<Vec<Digest>, ArtifactError> {
        server::wait(self.0.aged(first, age))
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest(blake3::hash(bytes).to_hex().to_string())
}

/// What an attempt alone writes: nothing is drawn for it, so that whatever else happens is the same without it.
fn content(attempt: &AttemptId) -> Vec<u8> {
    let hash = blake3::hash(attempt.0.as_bytes());
    let length = [0, 40, 3_000, 200_000][usize::from(hash.as_bytes()[0] % 4)];
    let mut bytes = attempt.0.repeat(length / attempt.0.len() + 1).into_bytes();
    bytes.truncate(length);
    bytes
}

/// TASK_DIR of an attempt that was begun, on whichever machine.
fn task_dir(world: &World, attempt: &AttemptId) -> Option<PathBuf> {
    let mut roots =
        (0..world.ant_clocks.len()).map(|number| world.ant_dir(number).join("ant/attempts").join(&attempt.0));
    let is_begun =
        |root: &PathBuf| fs::metadata(root).is_ok_and(|metadata| metadata.permissions().mode() & 0o7777 == BEGUN);
    // It may be on its way out already.
    roots.find(is_begun).map(|root| root.join("work")).filter(|work| work.is_dir())
}

/// A program comes to its end: what it leaves.
pub(super) fn write(world: &World, attempt: &AttemptId) -> Listing {
    let Some(work) = task_dir(world, attempt) else { return Listing::new() };
    fs::create_dir_all(work.join("out")).unwrap();
    let mut listing = Listing::new();
    for (path, bytes) in [(format!("out/{attempt}.bin"), content(attempt)), ("out/same.txt".to_owned(), SAME.to_vec())]
    {
        let file = work.join(&path);
        if !file.exists() {
            fs::write(file, &bytes).unwrap();
        }
        listing.insert(path, (digest_of(&bytes), bytes.len() as u64));
    }
    listing
}

/// A program begins: what it finds. `None`: its directory is gone already.
pub(super) fn read(world: &World, attempt: &AttemptId) -> Option<Listing> {
    let out = task_dir(world, attempt)?.join("out");
    let mut listing = Listing::new();
    if out.is_dir() {
        for entry in fs::read_dir(out).unwrap() {
            let entry = entry.unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let path = format!("out/{}", entry.file_name().to_string_lossy());
            listing.insert(path, (digest_of(&bytes), bytes.len() as u64));
        }
    }
    Some(listing)
}

/// What attempts have kept, as the queen has it.
fn listed(colony: &Colony) -> BTreeMap<AttemptId, Listing> {
    let mut listed: BTreeMap<AttemptId, Listing> = BTreeMap::new();
    for row in colony.house.rows("SELECT job_id || '-' || attempt, path, digest, size FROM artifacts ORDER BY 1, 2") {
        let parts: Vec<&str> = row.split(' ').collect();
        let file = (Digest(parts[2].to_owned()), parts[3].parse().unwrap());
        listed.entry(AttemptId(parts[0].to_owned())).or_default().insert(parts[1].to_owned(), file);
    }
    listed
}

/// Each file that is listed is stored, and nothing is on its way any more.
fn all_is_stored(world: &World, listed: &BTreeMap<AttemptId, Listing>) {
    let store = world.dir.join("queen/artifacts");
    for (id, files) in listed {
        for (path, (digest, size)) in files {
            let (first, rest) = digest.0.split_at(2);
            match fs::read(store.join(first).join(rest)) {
                Ok(bytes) if digest_of(&bytes) == *digest && bytes.len() as u64 == *size => {}
                Ok(bytes) => world.violated(format!("{path} of {id} has {} bytes that are not its own", bytes.len())),
                Err(error) => world.violated(format!("{path} of {id} is not stored: {error}")),
            }
        }
    }
    let on_their_way = fs::read_dir(store.join("tmp")).map_or(0, Iterator::count);
    if on_their_way > 0 {
        world.violated(format!("{on_their_way} contents are half-written"));
    }
}

/// Every file that an attempt kept is stored as its program wrote it, and who depends on it has found it.
pub(super) fn check(colony: &Colony, ran: &BTreeMap<(AttemptId, String), Ran>) {
    let world = &colony.world;
    if !world.has_files() {
        return;
    }
    let listed = listed(colony);
    all_is_stored(world, &listed);
    let script = |id: &AttemptId| ran.get(&(id.clone(), "script".to_owned()));
    for (id, files) in &listed {
        let wrote = script(id).map(|ran| ran.wrote.clone()).unwrap_or_default();
        if *files != wrote {
            world.violated(format!("{id} has kept {files:?}, and its program wrote {wrote:?}"));
        }
    }
    let rows = colony.house.rows(
        "SELECT DISTINCT a.job_id || '-' || a.number, j.job_type, t.name, a.result FROM attempts a
         JOIN jobs j ON j.id = a.job_id JOIN tasks t ON t.job_id = a.job_id AND t.task = a.task ORDER BY 1",
    );
    let mut given: BTreeMap<String, Listing> = BTreeMap::new();
    let mut readers = Vec::new();
    for row in &rows {
        let parts: Vec<&str> = row.split(' ').collect();
        let id = AttemptId(parts[0].to_owned());
        let job = parts[0].rsplit_once('-').map_or_else(String::new, |(job, _)| job.to_owned());
        let completed = parts[3] == "COMPLETED";
        match (parts[1], parts[2]) {
            ("handover", "c") => readers.push((id, job, completed)),
            ("handover", "a" | "b") | ("hours", _) if completed => match listed.get(&id) {
                Some(files) => given.entry(job).or_default().extend(files.clone()),
                None => world.violated(format!("{id} is COMPLETED, and nothing of it was kept")),
            },
            _ => {}
        }
    }
    for (id, job, completed) in readers {
        let Some(ran) = script(&id) else { continue };
        let wanted = given.get(&job).cloned().unwrap_or_default();
        match &ran.read {
            Some(read) if *read == wanted => {}
            None if !completed => {}
            read => world.violated(format!("{id} has found {read:?}, and was given {wanted:?}")),
        }
    }
}
