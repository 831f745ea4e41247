//! What `/proc` says about process trees.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The direct children of a process.
pub(super) fn children(pid: i32) -> Vec<i32> {
    Parents::look().children(pid)
}

/// Every process below this one, parents first.
pub(super) fn descendants(pid: i32) -> Vec<i32> {
    let parents = Parents::look();
    let mut all = parents.children(pid);
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        next += 1;
        all.extend(parents.children(parent));
    }
    all
}

/// Who is whose parent, at about one moment. (`/proc/PID/task/TID/children` is not in every kernel.)
struct Parents(BTreeMap<i32, Vec<i32>>);

impl Parents {
    fn look() -> Self {
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        if let Ok(entries) = fs::read_dir("/proc") {
            for entry in entries.flatten() {
                if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                    && let Ok(stat) = fs::read(entry.path().join("stat"))
                    && let Some(parent) = parent_of(&stat)
                {
                    children.entry(parent).or_default().push(pid);
                }
            }
        }
        Self(children)
    }

    fn children(&self, pid: i32) -> Vec<i32> {
        self.0.get(&pid).cloned().unwrap_or_default()
    }
}

/// Field 4 of `stat`; the name in field 2 may hold anything, so count from its last parenthesis.
fn parent_of(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// The processes that were started with this variable.
pub(super) fn with_variable(name: &str, value: &[u8]) -> Vec<i32> {
    let wanted = [name.as_bytes(), b"=", value].concat();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == wanted))
    })
    .collect()
}

/// The processes that hold a lock on a file by `flock`, as `/proc/locks` knows them. Where it calls the device otherwise
/// than `stat` does, the inode alone must do.
pub(super) fn lock_holders(device: u64, inode: u64) -> Vec<i32> {
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return Vec::new() };
    let exact = format!("{:02x}:{:02x}:{inode}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<i32> {
        let holders = locks.lines().filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            // Who waits has `->` in place of the kind.
            let (kind, pid, file) = (fields.next()?, fields.nth(2)?, fields.next()?);
            if kind == "FLOCK" && wanted(file) { pid.parse().ok() } else { None }
        });
        holders.collect()
    };
    let found = of(&|file| file == exact);
    if found.is_empty() { of(&|file| file.ends_with(&format!(":{inode}"))) } else { found }
}

/// A number that changes when one of the processes has used CPU time, has read or written, or came or went.
pub(super) fn activity(pids: &[i32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for pid in pids {
        pid.hash(&mut hasher);
        if let Ok(stat) = fs::read(format!("/proc/{pid}/stat")).map(|stat| String::from_utf8_lossy(&stat).into_owned())
            && let Some((_, fields)) = stat.rsplit_once(") ")
        {
            // utime, stime, cutime and cstime are fields 14 to 17; after the name comes field 3.
            for field in fields.split(' ').skip(11).take(4) {
                field.hash(&mut hasher);
            }
        }
        if let Ok(io) = fs::read_to_string(format!("/proc/{pid}/io")) {
            io.hash(&mut hasher);
        }
    }
    hasher.finish()
}
