//! Which containment works here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a process tree is contained and killed, from strongest to weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationLevel {
    /// Own cgroup v2, killed by `cgroup.kill`.
    CgroupKill,
    /// Own cgroup v1 freezer: frozen, killed, thawed.
    Freezer,
    /// A subreaper that kills its descendants until none is left.
    Subreaper,
}

impl IsolationLevel {
    /// The name as attempts and `atta doctor` show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupKill => "cgroup.kill",
            Self::Freezer => "freezer",
            Self::Subreaper => "subreaper",
        }
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::CgroupKill => 0,
            Self::Freezer => 1,
            Self::Subreaper => 2,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::CgroupKill,
            1 => Self::Freezer,
            _ => Self::Subreaper,
        }
    }
}

/// The strongest isolation that works for this process here; looks, and leaves nothing behind.
pub fn isolation_level() -> IsolationLevel {
    let name = format!("atta-probe-{}", std::process::id());
    let plan = detect(&name, IsolationLevel::CgroupKill);
    plan.remove();
    plan.level()
}

/// Where the attempts of one ant get their cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainmentPlan {
    /// Below this cgroup v2 directory.
    CgroupKill(PathBuf),
    /// Below this v1 freezer directory.
    Freezer(PathBuf),
    /// Nowhere.
    Subreaper,
}

impl ContainmentPlan {
    pub(crate) fn level(&self) -> IsolationLevel {
        match self {
            Self::CgroupKill(_) => IsolationLevel::CgroupKill,
            Self::Freezer(_) => IsolationLevel::Freezer,
            Self::Subreaper => IsolationLevel::Subreaper,
        }
    }

    pub(super) fn directory(&self) -> Option<&Path> {
        match self {
            Self::CgroupKill(path) | Self::Freezer(path) => Some(path),
            Self::Subreaper => None,
        }
    }

    pub(super) fn from_parts(level: u8, path: PathBuf) -> Self {
        match IsolationLevel::from_byte(level) {
            IsolationLevel::CgroupKill => Self::CgroupKill(path),
            IsolationLevel::Freezer => Self::Freezer(path),
            IsolationLevel::Subreaper => Self::Subreaper,
        }
    }

    /// Removes the directory if it is empty; it is no loss when it stays.
    pub(crate) fn remove(&self) {
        if let Some(path) = self.directory() {
            let _ = fs::remove_dir(path);
        }
    }

    /// Kills what is in an attempt's cgroup and removes it: for an attempt whose shim was killed by force. Blocks.
    pub(crate) fn kill_attempt(&self, name: &str) {
        if let Some(parent) = self.directory() {
            self.empty(&parent.join(name));
        }
    }

    fn empty(&self, cgroup: &Path) {
        for _ in 0..400 {
            if super::containment::remove_cgroup(cgroup) {
                break;
            }
            super::containment::kill_cgroup(self.level(), cgroup);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Kills what a previous ant on the same data directory left in its cgroups because its shims were killed by force: all
/// but those to keep. Blocks.
pub(crate) fn sweep(name: &str, keep: impl Fn(&str) -> bool) {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return;
    }
    let v2 = own_cgroup("cgroup2", "").map(|own| ContainmentPlan::CgroupKill(own.join(name)));
    let v1 = own_cgroup("cgroup", "freezer").map(|own| ContainmentPlan::Freezer(own.join(name)));
    for plan in [v2, v1].into_iter().flatten() {
        let Some(Ok(entries)) = plan.directory().map(fs::read_dir) else { continue };
        for entry in entries.flatten().filter(|entry| entry.path().join("cgroup.procs").exists()) {
            if !entry.file_name().to_str().is_some_and(&keep) {
                plan.empty(&entry.path());
            }
        }
        plan.remove();
    }
}

/// Finds the strongest containment that works, at most `strongest`, and makes the directory `name` for it.
pub(crate) fn detect(name: &str, strongest: IsolationLevel) -> ContainmentPlan {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return ContainmentPlan::Subreaper;
    }
    if strongest <= IsolationLevel::CgroupKill
        && let Some(path) = own_cgroup("cgroup2", "").and_then(|own| usable_v2(&own, name).ok())
    {
        return ContainmentPlan::CgroupKill(path);
    }
    if strongest <= IsolationLevel::Freezer
        && let Some(path) = own_cgroup("cgroup", "freezer").and_then(|own| usable_freezer(&own, name).ok())
    {
        return ContainmentPlan::Freezer(path);
    }
    ContainmentPlan::Subreaper
}

/// This process's own cgroup directory in the hierarchy with this controller (v2: the empty name).
fn own_cgroup(filesystem: &str, controller: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = cgroups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|c| c == controller).then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut fields = file_system.split(' ');
        let kind = fields.next()?;
        let options = fields.nth(1).unwrap_or_default();
        if kind != filesystem || !(controller.is_empty() || options.split(',').any(|o| o == controller)) {
            return None;
        }
        // Below a mount of a part of the hierarchy, only what is in that part has a path.
        let below = if root == "/" { own } else { own.strip_prefix(root)? };
        Some(Path::new(point).join(below.trim_start_matches('/')))
    })
}

fn usable_v2(own: &Path, name: &str) -> io::Result<PathBuf> {
    let path = make(own, name)?;
    // A process is born into the child cgroup only with the right to write here, above it, too.
    let usable = fs::metadata(path.join("cgroup.kill"))
        .and_then(|_| fs::OpenOptions::new().write(true).open(own.join("cgroup.procs")))
        .and_then(|_| fs::OpenOptions::new().write(true).open(path.join("cgroup.procs")));
    match usable {
        Ok(_) => Ok(path),
        Err(error) => {
            let _ = fs::remove_dir(&path);
            Err(error)
        }
    }
}

fn usable_freezer(own: &Path, name: &str) -> io::Result<PathBuf> {
    let path = make(own, name)?;
    match fs::OpenOptions::new().write(true).open(path.join("freezer.state")) {
        Ok(_) => Ok(path),
        Err(error) => {
            let _ = fs::remove_dir(&path);
            Err(error)
        }
    }
}

fn make(own: &Path, name: &str) -> io::Result<PathBuf> {
    let path = own.join(name);
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(path),
    }
}
