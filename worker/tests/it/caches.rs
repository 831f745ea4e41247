//! Files that come back in later jobs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::{Assignment, CacheOrder};

use crate::harness::{Launchers, tests};
use crate::world::{Done, World};

tests![
    what_a_task_stored_is_there_for_the_next_one,
    a_cache_belongs_to_its_job_type_and_paths,
    of_several_keys_with_one_beginning_the_newest_counts,
    nothing_is_stored_after_a_failure,
    modes_times_and_links_inside_come_back_and_links_out_do_not,
    a_damaged_entry_is_a_warning_and_a_miss,
    a_hostile_entry_writes_nothing_outside,
    an_entry_over_its_bound_is_not_stored,
    the_least_recently_used_entry_goes_first,
    two_tasks_that_store_one_key_at_once_are_both_fine,
    what_a_killed_ant_left_unfinished_is_removed,
];

fn order(key: &str, paths: &[&str], restore_keys: &[&str]) -> CacheOrder {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    CacheOrder { key: key.to_owned(), paths: owned(paths), restore_keys: owned(restore_keys) }
}

fn with_cache(world: &World, order: CacheOrder, script: &str) -> Assignment {
    let mut assignment = world.assignment(script);
    assignment.cache = Some(order);
    assignment
}

async fn run(world: &World, order: CacheOrder, script: &str) -> Done {
    let done = world.run(with_cache(world, order, script)).await;
    assert_eq!(done.result(), AttemptResult::Exit(0), "{}{}", done.message(), done.log);
    done
}

fn cache_dir(world: &World) -> PathBuf {
    world.directory.path().join("data/ant/cache")
}

fn entries(world: &World) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(cache_dir(world)) else { return Vec::new() };
    found.flatten().map(|entry| entry.path()).collect()
}

async fn what_a_task_stored_is_there_for_the_next_one(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let wanted = || order("k-1", &["deps", "./one/file"], &[]);
    let first = run(&world, wanted(), "test ! -e deps; mkdir -p deps/a one; echo 1 >deps/a/b; echo 2 >one/file").await;
    assert!(first.log.contains("cache miss: nothing is stored under \"k-1\"\n"), "{}", first.log);
    assert!(first.log.contains("cache saved: \"k-1\" (4 B, "), "{}", first.log);
    let second = run(&world, wanted(), "cat deps/a/b one/file; ls -A").await;
    assert_eq!(second.log, "cache hit: restored \"k-1\" (4 B)\n1\n2\ndeps\none\n");
    // The same key again: what is stored does not change.
    run(&world, wanted(), "echo changed >deps/a/b").await;
    assert!(run(&world, wanted(), "cat deps/a/b").await.log.ends_with("\n1\n"));
    let nothing = run(&world, order("k-2", &["absent"], &[]), "true").await;
    assert!(nothing.log.ends_with("warning: the cache path \"absent\" does not exist\ncache not saved: there is nothing to store under \"k-2\"\n"), "{}", nothing.log);
    assert_eq!(nothing.report.warnings, ["the cache path \"absent\" does not exist"]);
    world.end().await;
}

async fn a_cache_belongs_to_its_job_type_and_paths(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    run(&world, order("k", &["deps"], &[]), "echo x >deps").await;
    let mut other = with_cache(&world, order("k", &["deps"], &["k"]), "test ! -e deps");
    "another".clone_into(&mut other.job_type);
    assert_eq!(world.run(other).await.result(), AttemptResult::Exit(0));
    run(&world, order("k", &["deps", "more"], &["k"]), "test ! -e deps; touch deps more").await;
    world.end().await;
}

async fn of_several_keys_with_one_beginning_the_newest_counts(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    for key in ["deps-b-1", "deps-a-2", "tools-3"] {
        run(&world, order(key, &["deps"], &[]), &format!("echo {key} >deps; sleep 0.005")).await;
    }
    for (restore_keys, content) in
        [(&["deps-"][..], "deps-a-2"), (&["none-", "deps-b", "deps-"], "deps-b-1"), (&["tools", "deps-"], "tools-3")]
    {
        let done = run(&world, order("new", &["deps"], restore_keys), "cat deps; exec rm deps").await;
        let hit = format!("cache hit: restored {content:?} ({} B) in place of \"new\"\n{content}\n", content.len() + 1);
        assert!(done.log.starts_with(&hit), "{}", done.log);
    }
    world.end().await;
}

async fn nothing_is_stored_after_a_failure(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let done = world.run(with_cache(&world, order("k", &["deps"], &[]), "touch deps; exit 3")).await;
    assert_eq!(
        (done.result(), done.log.as_str()),
        (AttemptResult::Exit(3), "cache miss: nothing is stored under \"k\"\n")
    );
    assert!(entries(&world).is_empty());
    world.end().await;
}

async fn modes_times_and_links_inside_come_back_and_links_out_do_not(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let wanted = || order("k", &["d"], &[]);
    let done = run(
        &world,
        wanted(),
        "mkdir -p d/ro; echo x >d/tool; chmod 755 d/tool; touch -d @1000000000 d/tool; ln -s tool d/link; ln -s ../d/ro d/up
         ln -s /etc/passwd d/out; ln -s ../../.. d/far; ln -s up/../../../etc d/sly; mkfifo d/pipe; touch d/ro/f; chmod 555 d/ro",
    )
    .await;
    assert!(
        done.log.contains("warning: left out of the cache: 3 links that lead out of their directory\n"),
        "{}",
        done.log
    );
    assert!(done.log.contains("warning: left out of the cache: 1 sockets, devices and the like\n"), "{}", done.log);
    let done = run(&world, wanted(), "cd d; stat -c '%a %Y' tool; readlink link up; ls").await;
    assert!(done.log.ends_with("755 1000000000\ntool\n../d/ro\nlink\nro\ntool\nup\n"), "{}", done.log);
    world.end().await;
}

async fn a_damaged_entry_is_a_warning_and_a_miss(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let damages: [fn(&Path); 4] = [
        |path| fs::write(path, "nonsense").unwrap(),
        |path| {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..content.len() / 2]).unwrap();
        },
        |path| {
            let mut content = fs::read(path).unwrap();
            let last = content.len() - 3;
            content[last] ^= 0xff;
            fs::write(path, content).unwrap();
        },
        |path| fs::write(path, "").unwrap(),
    ];
    for damage in damages {
        run(&world, order("k", &["deps"], &[]), "mkdir deps; seq 10000 >deps/x").await;
        let found = entries(&world);
        assert_eq!(found.len(), 1);
        damage(&found[0]);
        let done = run(&world, order("k", &["deps"], &["k"]), "test ! -e deps; mkdir deps; seq 10000 >deps/x").await;
        assert!(done.log.starts_with("warning: the cache entry \"k\" cannot be used and is dropped: "), "{}", done.log);
        assert!(done.log.contains("cache miss: ") && done.log.contains("cache saved: "), "{}", done.log);
        assert_eq!(done.report.warnings.len(), 1);
        fs::remove_file(&entries(&world)[0]).unwrap();
    }
    world.end().await;
}

/// Writes the members of an archive.
type Forgery = Box<dyn Fn(&mut tar::Builder<&mut Vec<u8>>)>;

/// Writes the content of the only entry anew, as somebody else would: the facts stay.
fn forge(path: &Path, build: impl FnOnce(&mut tar::Builder<&mut Vec<u8>>)) {
    let content = fs::read(path).unwrap();
    let facts = 8 + u32::from_le_bytes(content[4..8].try_into().unwrap()) as usize;
    let mut tar = Vec::new();
    let mut builder = tar::Builder::new(&mut tar);
    build(&mut builder);
    builder.finish().unwrap();
    drop(builder);
    let mut forged = content[..facts].to_vec();
    forged.extend(zstd::encode_all(tar.as_slice(), 1).unwrap());
    fs::write(path, forged).unwrap();
}

/// A member under a name that the library itself would refuse to write.
fn member(builder: &mut tar::Builder<&mut Vec<u8>>, name: &str, kind: tar::EntryType, link: &str, size: u64) {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4777);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    builder.append(&header, std::io::Read::take(std::io::repeat(b'x'), size)).unwrap();
}

async fn a_hostile_entry_writes_nothing_outside(mut launchers: Launchers) {
    use tar::EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    let world = World::with(launchers.take(), |config| config.cache_entry_size = 1 << 20).await;
    let victim = world.directory.path().join("victim");
    let out = victim.to_str().unwrap().to_owned();
    let hostile: Vec<(&str, Forgery)> = vec![
        ("leads out", Box::new(|b| member(b, "task/../../../victim", Regular, "", 1))),
        (
            "leads out",
            Box::new({
                let out = out.clone();
                move |b| member(b, &out, Regular, "", 1)
            }),
        ),
        ("leads out", Box::new(|b| member(b, "../victim", Directory, "", 0))),
        (
            "leads out",
            Box::new({
                let out = out.clone();
                move |b| member(b, "task/deps", Symlink, &out, 0)
            }),
        ),
        ("leads out", Box::new(|b| member(b, "task/deps", Symlink, "../../../../victim", 0))),
        ("neither file", Box::new(|b| member(b, "task/deps", Link, "/etc/passwd", 0))),
        ("neither file", Box::new(|b| member(b, "task/deps", Char, "", 0))),
        ("neither file", Box::new(|b| member(b, "task/deps", Block, "", 0))),
        ("neither file", Box::new(|b| member(b, "task/deps", Fifo, "", 0))),
        (
            "no directory",
            Box::new(|b| {
                member(b, "task/link", Symlink, ".", 0);
                member(b, "task/link/deps", Regular, "", 1);
            }),
        ),
        ("more than 1 MiB", Box::new(|b| member(b, "task/deps", Regular, "", 64 << 20))),
        (
            "exists",
            Box::new(|b| {
                member(b, "task/deps", Regular, "", 1);
                member(b, "task/deps", Regular, "", 1);
            }),
        ),
    ];
    for (n, (says, build)) in hostile.iter().enumerate() {
        let wanted = || order(&format!("k-{n}"), &["deps"], &[]);
        run(&world, wanted(), "touch deps").await;
        let entry = entries(&world).pop().unwrap();
        forge(&entry, build);
        let done = run(&world, wanted(), "test ! -e deps && test ! -L deps; ls -A").await;
        assert!(
            done.log.starts_with(&format!("warning: the cache entry \"k-{n}\" cannot be used")),
            "{n}: {}",
            done.log
        );
        assert!(done.log.lines().next().unwrap().contains(says), "{n}: {}", done.log);
        assert!(!victim.exists() && !victim.is_symlink(), "{n}");
        for entry in entries(&world) {
            fs::remove_file(entry).unwrap();
        }
    }
    // What is honest but carries odd modes comes without them.
    run(&world, order("odd", &["deps"], &[]), "touch deps").await;
    forge(&entries(&world).pop().unwrap(), |b| member(b, "task/deps", Regular, "", 2));
    let done = run(&world, order("odd", &["deps"], &[]), "stat -c %a deps").await;
    assert!(done.log.ends_with("777\n"), "{}", done.log);
    world.end().await;
}

async fn an_entry_over_its_bound_is_not_stored(mut launchers: Launchers) {
    let world = World::with(launchers.take(), |config| {
        config.cache_entry_size = 5000;
        config.cache_size = 3000;
    })
    .await;
    let done = run(&world, order("k", &["d"], &[]), "head -c 6000 /dev/zero >d").await;
    let warning =
        "the cache \"k\" was not stored: it has more than 4.8 KiB, which is the bound of one entry on this ant";
    assert_eq!(done.report.warnings, [warning]);
    assert!(done.log.ends_with("cache not saved: \"k\"\n"), "{}", done.log);
    let done = run(&world, order("k", &["d"], &[]), "head -c 4000 /dev/urandom >d").await;
    assert!(
        done.report.warnings[0].ends_with("packed, and all caches of this ant may have 2.9 KiB"),
        "{:?}",
        done.report.warnings
    );
    assert!(entries(&world).is_empty());
    world.end().await;
}

async fn the_least_recently_used_entry_goes_first(mut launchers: Launchers) {
    let world = World::with(launchers.take(), |config| config.cache_size = 9000).await;
    let store = |key: &str| (order(key, &["d"], &[]), "test -e d || head -c 3500 /dev/urandom >d; sleep 0.01");
    for key in ["a", "b", "a", "c"] {
        let (wanted, script) = store(key);
        run(&world, wanted, script).await;
    }
    for (key, says) in [("a", "cache hit"), ("c", "cache hit"), ("b", "cache miss")] {
        let (wanted, script) = store(key);
        let done = run(&world, wanted, script).await;
        assert!(done.log.starts_with(says), "{key}: {}", done.log);
    }
    world.end().await;
}

async fn two_tasks_that_store_one_key_at_once_are_both_fine(mut launchers: Launchers) {
    let world = World::new(launchers.take()).await;
    let script = "mkdir d; seq 20000 >d/x; touch ../../../../ready.$$; until test $(ls ../../../../ | grep -c ready) = 3; do sleep 0.01; done";
    let ids: Vec<_> = (0..3).map(|_| world.begin(with_cache(&world, order("k", &["d"], &[]), script))).collect();
    for id in ids {
        let done = world.done(&id).await;
        assert_eq!(done.result(), AttemptResult::Exit(0), "{}", done.log);
        assert!(done.log.contains("cache saved: ") || done.log.contains("cache kept: "), "{}", done.log);
        assert!(done.report.warnings.is_empty(), "{:?}", done.report.warnings);
    }
    let done = run(&world, order("k", &["d"], &[]), "wc -l <d/x").await;
    assert!(done.log.ends_with("20000\n"), "{}", done.log);
    assert_eq!(entries(&world).len(), 1);
    world.end().await;
}

async fn what_a_killed_ant_left_unfinished_is_removed(mut launchers: Launchers) {
    let directory = tempfile::Builder::new().prefix("atta-ant-").tempdir().unwrap();
    let data = directory.path().join("data");
    let cache = data.join("ant/cache");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join(".new-job_0-1"), "half").unwrap();
    symlink("/etc", cache.join("unrelated")).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    let world = World::at(launchers.take(), directory, &data, |_| {}).await.unwrap();
    assert!(!cache.join(".new-job_0-1").exists());
    assert!(run(&world, order("k", &["d"], &["k"]), "touch d").await.log.contains("cache saved"));
    world.end().await;
}
