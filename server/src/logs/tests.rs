use std::path::Path;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{LogChunk, LogSegment, LogStream};
use atta_core::time::UnixMillis;

use super::{LogError, LogPiece, LogStore};

const JOB: &str = "job_0123456789abcdef0123456789abcdef";

fn attempt(number: u32) -> AttemptId {
    AttemptId(format!("{JOB}-{number}"))
}

fn chunk(attempt: &AttemptId, offset: u64, parts: &[(LogStream, &[u8])]) -> LogChunk {
    LogChunk {
        attempt_id: attempt.clone(),
        token: 1,
        offset,
        segments: parts
            .iter()
            .map(|(stream, bytes)| LogSegment {
                stream: *stream,
                at: UnixMillis(5),
                len: u32::try_from(bytes.len()).unwrap(),
            })
            .collect(),
        bytes: parts.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect(),
    }
}

fn bytes(pieces: Vec<LogPiece>) -> Vec<u8> {
    pieces.into_iter().flat_map(|piece| piece.bytes).collect()
}

async fn text(store: &LogStore, attempt: &AttemptId) -> String {
    let (pieces, total) = store.read(attempt, 0..u64::MAX, None).await.unwrap();
    let bytes = bytes(pieces);
    assert_eq!(bytes.len() as u64, total);
    String::from_utf8(bytes).unwrap()
}

fn raw(dir: &Path, number: u32) -> std::path::PathBuf {
    dir.join(JOB).join(format!("{number}.log"))
}

use LogStream::{Stderr, Stdout};

#[tokio::test]
async fn a_chunk_said_twice_is_stored_once_and_a_gap_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    store.append(chunk(&attempt, 0, &[(Stdout, b"abc")])).await.unwrap();
    store.append(chunk(&attempt, 0, &[(Stdout, b"abc")])).await.unwrap();
    store.append(chunk(&attempt, 1, &[(Stdout, b"bc"), (Stderr, b"de")])).await.unwrap();
    assert_eq!(text(&store, &attempt).await, "abcde");
    let error = store.append(chunk(&attempt, 6, &[(Stdout, b"x")])).await.unwrap_err();
    assert_eq!(error.to_string(), format!("log of attempt {attempt} has 5 bytes, a chunk at offset 6 leaves a gap"));
    let mut wrong = chunk(&attempt, 5, &[(Stdout, b"xyz")]);
    wrong.bytes.pop();
    let error = store.append(wrong).await.unwrap_err();
    assert_eq!(error.to_string(), format!("a log chunk of attempt {attempt} has 2 bytes, but its segments cover 3"));
    assert_eq!(text(&store, &attempt).await, "abcde");
}

#[tokio::test]
async fn only_ids_of_attempts_become_paths() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(&dir.path().join("logs")).unwrap();
    let long = format!("job_{}-1", "a".repeat(300));
    for hostile in ["../x-1", "/etc-1", "-1", "job-", "job", "a/b-1", "a.b-1", "job_1-01", "job_1-+1", "", ".-1", &long]
    {
        let id = AttemptId(hostile.to_owned());
        let error = store.append(chunk(&id, 0, &[(Stdout, b"x")])).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{hostile:?} is not an attempt's id"));
        assert!(store.open_reader(&id).await.is_err());
        assert!(store.follow(&id, 0).await.is_err());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_torn_frame_is_cut_off_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = attempt(1);
    let store = LogStore::open(dir.path()).unwrap();
    store.append(chunk(&attempt, 0, &[(Stdout, b"first ")])).await.unwrap();
    store.append(chunk(&attempt, 6, &[(Stdout, b"second")])).await.unwrap();
    drop(store);
    let file = raw(dir.path(), 1);
    let size = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(size - 3).unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    assert_eq!(text(&store, &attempt).await, "first ");
    store.append(chunk(&attempt, 6, &[(Stdout, b"second")])).await.unwrap();
    assert_eq!(text(&store, &attempt).await, "first second");
    let error = store.append(chunk(&attempt, 15, &[(Stdout, b"third")])).await.unwrap_err();
    assert!(matches!(error, LogError::Gap { have: 12, .. }), "{error}");
}

#[tokio::test]
async fn a_note_takes_the_place_of_what_was_lost_with_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let said = |missing: usize| {
        format!("\n... {missing} bytes of this log were lost when the server or its machine went down ...")
    };
    for missing in [1, 7, 81, 250, 70_000] {
        let attempt = attempt(u32::try_from(missing).unwrap());
        LogStore::open(dir.path()).unwrap().append(chunk(&attempt, 0, &[(Stdout, b"first")])).await.unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        // More than any machine loses.
        let error = store.append(chunk(&attempt, 17 * 1024 * 1024, &[(Stdout, b"x")])).await.unwrap_err();
        assert!(matches!(error, LogError::Gap { have: 5, .. }), "{error}");
        let next = 5 + missing as u64;
        store.append(chunk(&attempt, next, &[(Stdout, b"second")])).await.unwrap();
        store.append(chunk(&attempt, next + 6, &[(Stderr, b"third")])).await.unwrap();
        let (pieces, total) = store.read(&attempt, 0..u64::MAX, Some(LogStream::System)).await.unwrap();
        let note = String::from_utf8(bytes(pieces)).unwrap();
        assert_eq!((note.len(), total), (missing, missing as u64));
        let shown = note.trim_end_matches(['.', '\n']);
        assert!(said(missing).starts_with(shown) && note.ends_with('\n'), "{note}");
        assert!(missing < 100 || note.starts_with(&said(missing)), "{note}");
        assert_eq!(text(&store, &attempt).await, format!("first{note}secondthird"));
        // Only once: now somebody has left something out.
        let error = store.append(chunk(&attempt, next + 12, &[(Stdout, b"x")])).await.unwrap_err();
        assert!(matches!(error, LogError::Gap { .. }), "{error}");
    }
}

/// 3 MB in both streams, in chunks of odd sizes.
async fn fill(store: &LogStore, attempt: &AttemptId) -> Vec<(LogStream, u8)> {
    let mut all = Vec::new();
    let mut offset = 0;
    for round in 0..60_usize {
        let out: Vec<u8> = (0..30_011 + round * 7).map(|n| u8::try_from((n * 31 + round) % 251).unwrap()).collect();
        let err: Vec<u8> = vec![b'e'; round * 600 + 1];
        store.append(chunk(attempt, offset, &[(Stdout, &out), (Stderr, &err)])).await.unwrap();
        offset += (out.len() + err.len()) as u64;
        all.extend(out.iter().map(|b| (Stdout, *b)));
        all.extend(err.iter().map(|b| (Stderr, *b)));
    }
    all
}

async fn check(store: &LogStore, attempt: &AttemptId, all: &[(LogStream, u8)]) {
    for filter in [None, Some(Stdout), Some(Stderr)] {
        let expected: Vec<u8> =
            all.iter().filter(|(stream, _)| filter.is_none_or(|f| f == *stream)).map(|(_, byte)| *byte).collect();
        let total = expected.len();
        for (from, to) in [(0, total), (1, 2), (total - 1, total), (total / 2, total / 2 + 70_000), (total, total + 5)]
        {
            let (pieces, found) = store.read(attempt, from as u64..to as u64, filter).await.unwrap();
            assert_eq!(found, total as u64);
            assert!(bytes(pieces) == expected[from.min(total)..to.min(total)], "{filter:?} {from}..{to}");
        }
    }
}

#[tokio::test]
async fn a_finished_log_is_compressed_and_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    let all = fill(&store, &attempt).await;
    check(&store, &attempt, &all).await;
    let mut reader = store.open_reader(&attempt).await.unwrap().unwrap();
    store.finish(&attempt);
    store.settle().await;
    assert!(!raw(dir.path(), 1).exists());
    let packed = std::fs::metadata(dir.path().join(JOB).join("1.logz")).unwrap().len();
    assert!(packed < all.len() as u64 / 4, "{packed} of {}", all.len());
    check(&store, &attempt, &all).await;
    // Who reads already goes on reading the old file.
    assert_eq!(bytes(reader.read(None, 100, 10).unwrap()), all[100..110].iter().map(|(_, b)| *b).collect::<Vec<_>>());
    // What was stored may be said again; new bytes are refused.
    let (stream, byte) = all[0];
    store.append(chunk(&attempt, 0, &[(stream, &[byte])])).await.unwrap();
    let error = store.append(chunk(&attempt, all.len() as u64, &[(Stdout, b"x")])).await.unwrap_err();
    assert_eq!(error.to_string(), format!("log of attempt {attempt} is finished"));
    assert!(!raw(dir.path(), 1).exists());
    check(&LogStore::open(dir.path()).unwrap(), &attempt, &all).await;
}

#[tokio::test]
async fn a_damaged_compressed_log_is_an_error_and_not_an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    fill(&store, &attempt).await;
    store.finish(&attempt);
    store.settle().await;
    let file = dir.path().join(JOB).join("1.logz");
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 3, 50, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let error = store.read(&attempt, 0..10, None).await.unwrap_err().to_string();
        assert!(error.contains("the compressed log is damaged"), "{cut}: {error}");
    }
    let mut changed = whole.clone();
    changed[10..40].fill(0x55);
    std::fs::write(&file, &changed).unwrap();
    assert!(store.read(&attempt, 0..10, None).await.is_err());
}

#[tokio::test]
async fn small_logs_stay_one_file_and_unwritten_ones_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store.append(chunk(&attempt(1), 0, &[(Stdout, b"small")])).await.unwrap();
    store.append(chunk(&attempt(2), 0, &[])).await.unwrap();
    store.finish(&attempt(1));
    store.finish(&attempt(2));
    store.settle().await;
    let files: Vec<_> = std::fs::read_dir(dir.path().join(JOB)).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["1.log"]);
    assert!(store.open_reader(&attempt(2)).await.unwrap().is_none());
    assert_eq!(text(&store, &attempt(1)).await, "small");
}

#[tokio::test]
async fn followers_see_every_byte_in_order_whenever_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    // Before there is a file.
    let early = store.follow(&attempt, 0).await.unwrap();
    let collect = async |mut follower: super::LogFollower| {
        let mut all = Vec::new();
        while let Some(pieces) = follower.next().await.unwrap() {
            for piece in pieces {
                assert_eq!(piece.offset, all.len() as u64);
                all.extend(piece.bytes);
            }
        }
        all
    };
    let write = async {
        let all = fill(&store, &attempt).await;
        let late = store.follow(&attempt, 0).await.unwrap();
        store.finish(&attempt);
        (all, collect(late).await)
    };
    let (early, (all, late)) = tokio::join!(collect(early), write);
    let all: Vec<u8> = all.into_iter().map(|(_, byte)| byte).collect();
    assert!(early == all && late == all);
    let mut after = store.follow(&attempt, all.len() as u64 - 1).await.unwrap();
    after.end_when_drained();
    store.settle().await;
    assert_eq!(bytes(after.next().await.unwrap().unwrap()), all[all.len() - 1..]);
    assert_eq!(after.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_says_so_and_the_chunk_may_be_said_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    // A file where the job's directory should be.
    std::fs::write(dir.path().join(JOB), "in the way").unwrap();
    let error = store.append(chunk(&attempt, 0, &[(Stdout, b"x")])).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("log of attempt {attempt} cannot be written: ")), "{error}");
    std::fs::remove_file(dir.path().join(JOB)).unwrap();
    store.append(chunk(&attempt, 0, &[(Stdout, b"x")])).await.unwrap();
    assert_eq!(text(&store, &attempt).await, "x");
    let error = LogStore::open(&raw(dir.path(), 1)).err().unwrap().to_string();
    assert!(error.starts_with("log directory ") && error.contains(" cannot be used: "), "{error}");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    store.append(chunk(&attempt(1), 0, &[(Stdout, &all)])).await.unwrap();
    assert_eq!(bytes(store.read(&attempt(1), 0..256, None).await.unwrap().0), all);
}

#[tokio::test]
async fn a_follower_that_opened_the_file_before_its_writer_sees_it_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    let mut follower = store.follow(&attempt, 0).await.unwrap();
    // The file is there, but this store has not opened it for writing yet.
    LogStore::open(dir.path()).unwrap().append(chunk(&attempt, 0, &[(Stdout, b"one ")])).await.unwrap();
    assert_eq!(bytes(follower.next().await.unwrap().unwrap()), b"one ");
    store.append(chunk(&attempt, 4, &[(Stdout, b"two")])).await.unwrap();
    assert_eq!(bytes(follower.next().await.unwrap().unwrap()), b"two");
    store.finish(&attempt);
    assert!(follower.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_appended_before_a_log_is_compressed_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    let mut all = fill(&store, &attempt).await;
    let hold = store.hold_packing();
    assert!(hold.is_some());
    store.finish(&attempt);
    store.append(chunk(&attempt, all.len() as u64, &[(Stdout, b"late")])).await.unwrap();
    drop(hold);
    store.settle().await;
    // It is open, and goes on in the file that is there.
    store.append(chunk(&attempt, all.len() as u64 + 4, &[(Stderr, b"later")])).await.unwrap();
    assert!(raw(dir.path(), 1).exists());
    all.extend(b"late".map(|byte| (Stdout, byte)));
    all.extend(b"later".map(|byte| (Stderr, byte)));
    check(&store, &attempt, &all).await;
    let hold = store.hold_packing();
    store.finish(&attempt);
    // Somebody who only looks holds up nothing.
    let follower = store.follow(&attempt, 0).await.unwrap();
    drop(hold);
    store.settle().await;
    assert!(!raw(dir.path(), 1).exists());
    drop(follower);
    check(&store, &attempt, &all).await;
    check(&LogStore::open(dir.path()).unwrap(), &attempt, &all).await;
}

#[tokio::test]
async fn a_log_that_is_removed_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    store.append(chunk(&attempt, 0, &[(Stdout, b"x")])).await.unwrap();
    let mut follower = store.follow(&attempt, 0).await.unwrap();
    assert_eq!(bytes(follower.next().await.unwrap().unwrap()), b"x");
    store.remove(&attempt).await.unwrap();
    assert_eq!(follower.next().await.unwrap(), None);
    assert!(store.open_reader(&attempt).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_to_be_compressed_when_the_server_stops_is_compressed_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let (over, goes_on) = (attempt(1), attempt(2));
    let all = fill(&store, &over).await;
    fill(&store, &goes_on).await;
    store.append(chunk(&attempt(3), 0, &[(Stdout, b"small")])).await.unwrap();
    let hold = store.hold_packing();
    assert!(hold.is_some());
    store.finish(&over);
    // It does not wait for its turn.
    store.stop().await;
    drop(hold);
    store.settle().await;
    assert!(raw(dir.path(), 1).exists());
    check(&store, &over, &all).await;
    let store = LogStore::open(dir.path()).unwrap();
    let asked = std::sync::Mutex::new(Vec::new());
    let is_over = |attempt: AttemptId| {
        asked.lock().unwrap().push(attempt.clone());
        std::future::ready(attempt == over)
    };
    store.catch_up(is_over).await.unwrap();
    store.settle().await;
    assert_eq!(*asked.lock().unwrap(), [over.clone(), goes_on.clone()]);
    assert!(!raw(dir.path(), 1).exists() && raw(dir.path(), 2).exists());
    check(&store, &over, &all).await;
}

#[tokio::test]
async fn compressing_that_was_cut_off_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let attempt = attempt(1);
    let all = fill(&store, &attempt).await;
    let job = dir.path().join(JOB);
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&job).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // By a stop in its middle.
    let blocks = std::cell::Cell::new(3);
    let go_on = || blocks.replace(blocks.get() - 1) > 0;
    let (temporary, packed) = (job.join("1.tmp"), job.join("1.logz"));
    let error = super::packed::pack(&raw(dir.path(), 1), &temporary, &packed, go_on).unwrap_err();
    assert_eq!((error.kind(), blocks.get()), (std::io::ErrorKind::Interrupted, -1));
    assert_eq!(files(), ["1.log"]);
    check(&store, &attempt, &all).await;
    // By a kill, which removes nothing.
    std::fs::write(&temporary, b"half").unwrap();
    store.remove(&attempt).await.unwrap();
    assert!(!job.exists());
    std::fs::create_dir(&job).unwrap();
    std::fs::write(&temporary, b"half").unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"somebody else's").unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store.catch_up(|_| std::future::ready(true)).await.unwrap();
    assert!(!job.exists());
}
