//! Output: order, bytes, bounds.

use std::sync::atomic::Ordering;

use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::LogStream;

use crate::harness::{Launchers, tests};
use crate::world::{World, eventually};

tests![
    both_streams_arrive_in_order_with_their_segments,
    bytes_that_are_no_text_arrive_as_they_are,
    closed_streams_are_no_end,
    very_long_output_is_delivered_in_bounded_memory_and_disk,
    a_queen_that_is_away_gets_everything_later_in_order,
    a_full_disk_ends_the_attempt_with_a_reason,
    the_spool_is_private_and_made_with_the_first_byte,
];

async fn both_streams_arrive_in_order_with_their_segments(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.script("echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three").await;
    assert_eq!(done.log, "one\ntwo\nthree\n");
    let streams: Vec<LogStream> = done.segments.iter().map(|segment| segment.stream).collect();
    assert_eq!(streams, [LogStream::Stdout, LogStream::Stderr, LogStream::Stdout]);
    assert!(done.segments.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(done.report.log_bytes, 14);
    world.end().await;
}

async fn bytes_that_are_no_text_arrive_as_they_are(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.script("printf 'a\\377\\376\\000b\\n\\303'").await;
    assert_eq!((done.result(), &done.raw_log[..]), (AttemptResult::Exit(0), &b"a\xff\xfe\0b\n\xc3"[..]));
    world.end().await;
}

async fn closed_streams_are_no_end(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.script("echo before; exec >&- 2>&-; sleep 0.1; exit 3").await;
    assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(3), "before\n"));
    world.end().await;
}

async fn very_long_output_is_delivered_in_bounded_memory_and_disk(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    world.queen.keep_log.store(false, Ordering::SeqCst);
    let bytes = 1u64 << 30;
    let id = world.begin(world.assignment(&format!("head -c {bytes} /dev/zero")));
    let spool = world.attempts_dir().join(&id.0).join("script.spool");
    let largest = std::sync::atomic::AtomicU64::new(0);
    let watch = async {
        loop {
            if let Ok(metadata) = std::fs::metadata(&spool) {
                largest.fetch_max(metadata.len(), Ordering::SeqCst);
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let done = tokio::select! { done = world.done(&id) => done, () = watch => unreachable!() };
    assert_eq!((done.result(), done.report.log_bytes), (AttemptResult::Exit(0), bytes));
    let largest = largest.into_inner();
    assert!(largest < 40 << 20, "the spool grew to {largest} bytes");
    let resident = peak_resident_kib();
    assert!(resident < 100 << 10, "the ant grew to {resident} KiB");
    world.end().await;
}

fn peak_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn a_queen_that_is_away_gets_everything_later_in_order(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment(
        "echo one; while [ ! -e go ]; do sleep 0.01; done; i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; touch ended",
    ));
    world.log_has(&id, "one").await;
    world.queen.away.store(true, Ordering::SeqCst);
    let work = world.attempts_dir().join(&id.0).join("work");
    std::fs::write(work.join("go"), "").unwrap();
    eventually("the script has ended without its queen", || work.join("ended").exists()).await;
    world.queen.away.store(false, Ordering::SeqCst);
    let done = world.done(&id).await;
    let expected: String = std::iter::once("one\n".to_owned()).chain((0..300).map(|i| format!("line {i}\n"))).collect();
    assert_eq!((done.result(), done.log), (AttemptResult::Exit(0), expected));
    assert_eq!(done.sequences, [1, 2]);
    world.end().await;
}

async fn a_full_disk_ends_the_attempt_with_a_reason(mut launchers: Launchers) {
    let directory = tempfile::Builder::new().prefix("atta-full-").tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = nix::mount::mount(Some("tmpfs"), &data, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=1m"));
    if let Err(errno) = mounted {
        eprintln!("no tmpfs can be mounted here ({errno}): nothing to test");
        return;
    }
    let unmount = Unmount(data.clone());
    let world = World::at(launchers.take(), directory, &data, |_| {}).await.unwrap();
    // The program fills the disk itself, then writes more than the spool has room for.
    let id = world.begin(world.assignment(
        "echo begin; dd if=/dev/zero of=fill bs=4096 2>/dev/null || true; echo full; while :; do head -c 100000 /dev/zero; sleep 0.01; done",
    ));
    let done = world.done(&id).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!(done.code(), "SPOOL_FAILED");
    assert_eq!(
        done.message(),
        "was stopped because the ant could not store its output: No space left on device (os error 28)"
    );
    world.assert_empty();
    // The next one finds room again.
    assert_eq!(world.script("echo fine").await.log, "fine\n");
    let World { ant, directory, .. } = world;
    ant.drain().await;
    drop(unmount);
    drop(directory);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

async fn the_spool_is_private_and_made_with_the_first_byte(mut launchers: Launchers) {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(launchers.take()).await;
    let id = world.begin(world.assignment("touch up; while [ ! -e go ]; do sleep 0.01; done; echo x; sleep 1000"));
    let root = world.attempts_dir().join(&id.0);
    eventually("it runs", || root.join("work/up").exists()).await;
    assert!(!root.join("script.spool").exists());
    std::fs::write(root.join("work/go"), "").unwrap();
    world.log_has(&id, "x\n").await;
    assert_eq!(std::fs::metadata(root.join("script.spool")).unwrap().permissions().mode() & 0o777, 0o600);
    world.stop(&id, "enough");
    world.done(&id).await;
    world.end().await;
}
