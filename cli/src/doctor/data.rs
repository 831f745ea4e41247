//! The data directory: whose it is, what lies in it, and who may read it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use atta_server::store::inspect_file;

use super::Check;

/// Files that nobody else may read.
const KEYS: [&str; 4] = ["secrets.key", "links.key", "tls.pem", "ant/key"];

/// The process that holds a lock on a file, by what the kernel lists: nobody is kept from taking it meanwhile.
fn holder(file: &Path) -> Option<String> {
    let found = fs::metadata(file).ok()?;
    let device =
        format!("{:02x}:{:02x}:{}", rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()), found.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| line.split_ascii_whitespace().any(|word| word == device))?;
    line.split_ascii_whitespace().nth(4).map(str::to_owned)
}

/// Who has the data directory.
pub(super) fn locks(dir: &Path) -> Option<Check> {
    let name = "locks";
    if !dir.join("server.lock").exists() && !dir.join("ant/ant.lock").exists() {
        return None;
    }
    let said = |file: &str, who: &str| match holder(&dir.join(file)) {
        Some(pid) => format!("{who} runs (process {pid})"),
        None => format!("no {who}"),
    };
    Some(Check::ok(name, format!("{}, {}", said("server.lock", "server"), said("ant/ant.lock", "ant"))))
}

/// What an ant has left running that is not there any more.
pub(super) fn orphans(dir: &Path) -> Option<Check> {
    let name = "left running";
    let attempts = fs::read_dir(dir.join("ant/attempts")).ok()?.flatten().count();
    let running = holder(&dir.join("ant/ant.lock")).is_some();
    Some(match (attempts, running) {
        (0, _) => Check::ok(name, "nothing"),
        (count, true) => Check::ok(name, format!("{count} attempt(s), and their ant is there")),
        (count, false) => Check::warning(
            name,
            format!("{count} attempt(s) of an ant that is not there"),
            "Start the server or the ant on this directory again: it takes up what runs and reports what has ended.",
        ),
    })
}

/// Whether others can read what must stay secret.
pub(super) fn key_files(dir: &Path, token_file: Option<&Path>) -> Option<Check> {
    let name = "key files";
    let mut seen = 0;
    let mut open = Vec::new();
    for file in KEYS.iter().map(|name| dir.join(name)).chain(token_file.map(Path::to_owned)) {
        let Ok(found) = fs::metadata(&file) else { continue };
        seen += 1;
        let shielded = file.parent().and_then(|parent| fs::metadata(parent).ok());
        // What lies in a directory that nobody may enter is safe, whatever its own mode says.
        let shielded = shielded.is_some_and(|parent| parent.permissions().mode() & 0o011 == 0);
        if found.permissions().mode() & 0o044 != 0 && !shielded {
            open.push(file.display().to_string());
        }
    }
    if seen == 0 {
        return None;
    }
    Some(if open.is_empty() {
        Check::ok(name, format!("{seen} file(s), for their owner only"))
    } else {
        let advice = format!("chmod go= {}", open.join(" "));
        Check::failed(name, format!("others can read {}", open.join(", ")), advice)
    })
}

/// Whether the database's pages are whole, and whether this program knows its tables.
pub(super) async fn integrity(dir: &Path) -> Option<Check> {
    let name = "database pages";
    let file = dir.join("atta.db");
    if fs::metadata(&file).map_or(0, |found| found.len()) == 0 {
        return None;
    }
    let restore = "Stop the server and restore a backup; what a server of another version wrote needs that version.";
    Some(match inspect_file(&file).await {
        Err(error) => Check::failed(name, format!("{} cannot be read: {error}", file.display()), restore),
        Ok(report) => {
            let version =
                report.version.map_or_else(|| "no tables yet".to_owned(), |version| format!("version {version}"));
            match report.damage {
                Some(damage) if !damage.is_empty() => {
                    Check::failed(name, format!("{version}, damaged: {}", damage.join("; ")), restore)
                }
                _ if report.version.is_some_and(|version| version > report.known) => Check::failed(
                    name,
                    format!("{version}, and this program knows {} at most", report.known),
                    "Use the newer program: an older one does not touch this database.",
                ),
                Some(_) => Check::ok(name, format!("{version}, whole")),
                None => Check::warning(
                    name,
                    format!("{version}, too large to be read through here"),
                    "Run `PRAGMA integrity_check` on a copy when there is time.",
                ),
            }
        }
    })
}
