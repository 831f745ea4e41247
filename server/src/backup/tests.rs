//! Archives that are not what they should be, and places that take nothing.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use atta_core::time::UnixMillis;

use super::archive::{Header, Manifest, Writer};
use super::*;
use crate::scheduler::Database;
use crate::store::Store;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

fn header() -> Header {
    Header {
        format: 1,
        program: "test".to_owned(),
        schema: 12,
        at: NOW.0,
        created_at: NOW.to_rfc3339(),
        database: "SQLite".to_owned(),
    }
}

/// An archive with these members; the manifest says so many rows of `meta`.
fn archive(file: &Path, header: &Header, members: &[(&str, &[u8])], rows: u64) {
    let mut writer = Writer::begin(fs::File::create(file).unwrap(), header).unwrap();
    for (path, content) in members {
        writer.add_bytes(path, content).unwrap();
    }
    let manifest = Manifest { tables: [("meta".to_owned(), rows)].into(), ..Manifest::default() };
    writer.finish(manifest).unwrap();
}

/// Decompressed, changed, compressed again.
fn change(file: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut tar = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
    how(&mut tar);
    fs::write(file, zstd::encode_all(tar.as_slice(), 1).unwrap()).unwrap();
}

fn position(tar: &[u8], of: &[u8]) -> usize {
    tar.windows(of.len()).position(|window| window == of).unwrap()
}

const META: (&str, &[u8]) = ("database/meta/000001.jsonl", b"[\"key\",\"value\"]\n[\"epoch\",\"3\"]\n");

async fn try_to_restore(file: &Path, dir: &Path) -> Result<RestoreReport, BackupError> {
    restore(RestoreRequest { file, data_dir: dir, database: &Database::File, go_on: false, now: NOW }).await
}

static LONG: [u8; 300_000] = [7; 300_000];

/// Makes an archive in which something is wrong.
type Damage = Box<dyn Fn(&Path)>;

#[tokio::test]
async fn an_archive_that_is_not_what_was_written_is_refused_and_nothing_of_it_is_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("a.tar.zst");
    let long: &[u8] = &LONG;
    let whole =
        |file: &Path| archive(file, &header(), &[META, ("logs/job_1/1.log", long), ("keys/links.key", b"abc")], 1);
    let cases: Vec<(&str, Damage)> = vec![
        (
            "is not what was saved",
            Box::new(move |file| {
                whole(file);
                change(file, |tar| {
                    let at = position(tar, &long[..100]) + 50;
                    tar[at] ^= 1;
                });
            }),
        ),
        (
            "is cut off",
            Box::new(move |file| {
                whole(file);
                let bytes = fs::read(file).unwrap();
                fs::write(file, &bytes[..bytes.len() - 40]).unwrap();
            }),
        ),
        (
            "is cut off",
            Box::new(move |file| {
                whole(file);
                change(file, |tar| {
                    let at = position(tar, b"manifest.json");
                    tar.truncate(at);
                });
            }),
        ),
        (
            "cannot be read",
            Box::new(move |file| {
                whole(file);
                let mut bytes = fs::read(file).unwrap();
                let at = bytes.len() / 2;
                bytes[at] ^= 0x55;
                fs::write(file, &bytes).unwrap();
            }),
        ),
        (
            "stands where",
            Box::new(move |file| {
                whole(file);
                change(file, |tar| {
                    let at = position(tar, b"keys/links.key");
                    tar[at..at + 14].copy_from_slice(b"keys/tls.pem\0\0");
                    let sum: u32 = tar[at..at + 512]
                        .iter()
                        .enumerate()
                        .map(|(n, byte)| if (148..156).contains(&n) { 32 } else { u32::from(*byte) })
                        .sum();
                    tar[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                });
            }),
        ),
        ("2 were saved", Box::new(|file| archive(file, &header(), &[META], 2))),
        (
            "nobody knows what \"logs/../x\" is for",
            Box::new(|file| {
                archive(file, &header(), &[META, ("logs/aa/x", b"")], 1);
                change(file, |tar| {
                    while let Some(at) = tar.windows(9).position(|window| window == b"logs/aa/x") {
                        tar[at..at + 9].copy_from_slice(b"logs/../x");
                        let start = at;
                        if tar.get(start + 257..start + 262) == Some(b"ustar") {
                            let sum: u32 = tar[start..start + 512]
                                .iter()
                                .enumerate()
                                .map(|(n, byte)| if (148..156).contains(&n) { 32 } else { u32::from(*byte) })
                                .sum();
                            tar[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                        }
                    }
                });
            }),
        ),
        (
            "format 2 of a newer version (made by atta test)",
            Box::new(|file| {
                archive(file, &Header { format: 2, ..header() }, &[META], 1);
            }),
        ),
        ("it is not compressed by zstd", Box::new(|file| fs::write(file, "SQLite format 3\0").unwrap())),
        (
            "it begins with \"x\"",
            Box::new(|file| {
                let mut tar = tar::Builder::new(zstd::Encoder::new(fs::File::create(file).unwrap(), 1).unwrap());
                let mut header = tar::Header::new_gnu();
                header.set_size(1);
                tar.append_data(&mut header, "x", &b"y"[..]).unwrap();
                tar.into_inner().unwrap().finish().unwrap();
            }),
        ),
        (
            "No such file",
            Box::new(|file| {
                let _ = fs::remove_file(file);
            }),
        ),
    ];
    for (words, make) in cases {
        make(&file);
        let error = verify(&file).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        let dir = scratch.path().join("data");
        let error = try_to_restore(&file, &dir).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!dir.exists(), "{words}: {:?}", fs::read_dir(&dir).map(Iterator::count));
    }
}

#[tokio::test]
async fn a_whole_archive_is_restored_and_only_into_an_empty_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let (file, dir) = (scratch.path().join("a.tar.zst"), scratch.path().join("data"));
    archive(&file, &header(), &[META, ("logs/job_1/1.log", b"hello"), ("keys/links.key", b"abc")], 1);
    let report = try_to_restore(&file, &dir).await.unwrap();
    assert_eq!(report.header, header());
    assert_eq!(fs::read(dir.join("logs/job_1/1.log")).unwrap(), b"hello");
    assert_eq!(fs::read(dir.join("links.key")).unwrap(), b"abc");
    let error = try_to_restore(&file, &dir).await.unwrap_err().to_string();
    assert!(error.contains("is not empty") && error.contains("nothing was changed"), "{error}");
    let (_, mut writer) = Store::open(&dir, NOW).await.unwrap();
    // Later than whatever the world of the backup came to.
    assert!(i64::from(writer.next_epoch().await.unwrap()) > NOW.0 / 1000);
    assert_eq!(writer.load_restored().await.unwrap().unwrap().backup_at, NOW.0);
}

#[tokio::test]
async fn a_backup_by_an_older_version_is_brought_up_to_date() {
    let scratch = tempfile::tempdir().unwrap();
    for schema in [9, 10, 11] {
        let (file, dir) = (scratch.path().join("a.tar.zst"), scratch.path().join(format!("data{schema}")));
        archive(&file, &Header { schema, ..header() }, &[META], 1);
        try_to_restore(&file, &dir).await.unwrap();
        let (_, mut writer) = Store::open(&dir, NOW).await.unwrap();
        assert_eq!(writer.load_tokens().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_restore_that_was_killed_leaves_a_directory_that_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let (file, dir) = (scratch.path().join("a.tar.zst"), scratch.path().join("data"));
    archive(&file, &header(), &[META], 1);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(crate::store::UNFINISHED), "").unwrap();
    for error in [
        try_to_restore(&file, &dir).await.unwrap_err().to_string(),
        Store::open(&dir, NOW).await.map(drop).unwrap_err().to_string(),
    ] {
        assert!(error.contains("did not get to its end") && error.contains("restore again"), "{error}");
    }
    assert!(dir.join(crate::store::UNFINISHED).exists());
}

/// Takes some bytes, as a disk does.
struct Small(usize);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_full_ends_the_archive_with_that_reason() {
    let noise: Vec<u8> = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let mut writer = Writer::begin(Small(10_000), &header()).unwrap();
    let error = writer.add_bytes("logs/job_1/1.log", &noise).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let shown = BackupError::Write { file: "x".into(), source: error }.to_string();
    assert!(shown.contains("the disk is full") && shown.contains("nothing of it was kept"), "{shown}");
}

#[tokio::test]
async fn a_backup_replaces_nothing_and_leaves_nothing_half_written() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, out) = (scratch.path().join("data"), scratch.path().join("out"));
    fs::create_dir(&out).unwrap();
    let (store, writer) = Store::open(&data, NOW).await.unwrap();
    let request = |to| BackupRequest {
        data_dir: &data,
        database: &Database::File,
        to,
        with_keys: false,
        now: NOW,
        program: "test",
    };
    let report = back_up(request(&out)).await.unwrap();
    assert_eq!(report.file, out.join("atta-2026-09-21T14-13-20Z.tar.zst"));
    let error = back_up(request(&out)).await.unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    let (nowhere, other) = (scratch.path().join("none/b"), out.join("b"));
    let error = back_up(request(&nowhere)).await.unwrap_err().to_string();
    assert!(error.contains("cannot be written") && error.contains("nothing of it was kept"), "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing but the backup is there");
    drop((store, writer));
    let error = back_up(BackupRequest { data_dir: &out, ..request(&other) }).await.unwrap_err().to_string();
    assert!(error.contains("holds no database of Atta"), "{error}");
}
