use std::fs;
use std::path::{Path, PathBuf};

use atta_core::protocol::Digest;
use tokio::io::AsyncReadExt;

use super::{ArtifactStore, LocalArtifacts};

struct Bench {
    dir: tempfile::TempDir,
    store: LocalArtifacts,
}

fn digest(content: &[u8]) -> Digest {
    Digest(blake3::hash(content).to_hex().to_string())
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalArtifacts::open(&dir.path().join("artifacts")).unwrap();
        Self { dir, store }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn stored(&self, digest: &Digest) -> PathBuf {
        self.dir.path().join("artifacts").join(&digest.0[..2]).join(&digest.0[2..])
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_content_comes_back_as_it_was_stored() {
    let bench = Bench::new();
    for content in [&b""[..], b"plan", &vec![7; 1_000_000]] {
        let digest = digest(content);
        assert!(!bench.store.contains(&digest).await.unwrap());
        for _ in 0..2 {
            let file = bench.file("file", content);
            bench.store.put(&digest, content.len() as u64, &file).await.unwrap();
        }
        assert!(bench.store.contains(&digest).await.unwrap());
        let to = bench.dir.path().join("copy");
        bench.store.get(&digest, &to).await.unwrap();
        assert_eq!(fs::read(&to).unwrap(), content);
        let error = bench.store.get(&digest, &to).await.unwrap_err().to_string();
        assert!(error.contains("File exists"), "an existing file is not overwritten: {error}");
        fs::remove_file(to).unwrap();
        let mut reader = bench.store.open(&digest, 0).await.unwrap();
        assert_eq!(reader.size, content.len() as u64);
        let mut read = Vec::new();
        reader.content.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, content);
    }
}

#[tokio::test]
async fn a_content_that_is_not_what_was_announced_is_refused() {
    let bench = Bench::new();
    let file = bench.file("file", b"plan");
    let right = digest(b"plan");
    let other = digest(b"other");
    let error = bench.store.put(&other, 4, &file).await.unwrap_err().to_string();
    assert_eq!(error, format!("artifact {other} does not match its digest: the file has digest {right}"));
    let error = bench.store.put(&right, 5, &file).await.unwrap_err().to_string();
    assert_eq!(error, format!("artifact {right} does not match its digest: 5 bytes were announced, the file has 4"));
    assert!(
        file.exists() && !bench.store.contains(&right).await.unwrap() && !bench.store.contains(&other).await.unwrap()
    );
}

#[tokio::test]
async fn a_content_that_changed_in_the_store_is_not_handed_out() {
    let bench = Bench::new();
    let digest = digest(b"plan");
    bench.store.put(&digest, 4, &bench.file("file", b"plan")).await.unwrap();
    fs::write(bench.stored(&digest), b"evil").unwrap();
    let to = bench.dir.path().join("copy");
    let error = bench.store.get(&digest, &to).await.unwrap_err().to_string();
    assert!(error.contains("does not match its digest: the stored content has digest"), "{error}");
    assert!(!to.exists());
}

#[tokio::test]
async fn a_file_with_two_names_is_copied_so_that_the_other_cannot_change_the_store() {
    let bench = Bench::new();
    let file = bench.file("file", b"plan");
    let other = bench.dir.path().join("other");
    fs::hard_link(&file, &other).unwrap();
    let digest = digest(b"plan");
    bench.store.put(&digest, 4, &file).await.unwrap();
    fs::write(&other, b"evil").unwrap();
    assert_eq!(fs::read(bench.stored(&digest)).unwrap(), b"plan");
}

#[tokio::test]
async fn links_and_directories_are_no_artifacts() {
    let bench = Bench::new();
    let file = bench.file("file", b"secret");
    let link = bench.dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let digest = digest(b"secret");
    assert!(bench.store.put(&digest, 6, &link).await.is_err());
    let error = bench.store.put(&digest, 6, bench.dir.path()).await.unwrap_err().to_string();
    assert_eq!(error, format!("artifact {digest} cannot be stored: it is not a regular file"));
    assert!(!bench.store.contains(&digest).await.unwrap());
}

#[tokio::test]
async fn only_digests_become_paths() {
    let bench = Bench::new();
    let file = bench.file("file", b"x");
    let upper = "A".repeat(64);
    for hostile in ["../../etc/passwd", "", "ab", &upper, &format!("..{}", "/".repeat(62))] {
        let digest = Digest(hostile.to_owned());
        let expected = format!("{hostile:?} is not a digest: 64 lower-case hex digits are expected");
        assert_eq!(bench.store.put(&digest, 1, &file).await.unwrap_err().to_string(), expected);
        assert_eq!(bench.store.get(&digest, &file).await.unwrap_err().to_string(), expected);
        assert_eq!(bench.store.open(&digest, 0).await.err().unwrap().to_string(), expected);
        assert_eq!(bench.store.contains(&digest).await.unwrap_err().to_string(), expected);
    }
    let missing = digest(b"missing");
    assert_eq!(
        bench.store.open(&missing, 0).await.err().unwrap().to_string(),
        format!("artifact {missing} is not stored")
    );
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_swept_at_the_next_start() {
    let bench = Bench::new();
    let digest = digest(b"plan");
    bench.store.put(&digest, 4, &bench.file("file", b"plan")).await.unwrap();
    let dir = bench.dir.path().join("artifacts");
    fs::create_dir_all(dir.join("tmp")).unwrap();
    fs::write(dir.join("tmp/0"), b"half").unwrap();
    let store = LocalArtifacts::open(&dir).unwrap();
    assert_eq!(names(&dir), [&digest.0[..2]]);
    assert!(store.contains(&digest).await.unwrap());
    let error = LocalArtifacts::open(&bench.stored(&digest)).err().unwrap().to_string();
    assert!(error.starts_with("artifact directory ") && error.contains(" cannot be used: "), "{error}");
}
