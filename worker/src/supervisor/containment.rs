//! One attempt's cgroup, and the killing of its tree.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::isolation::{ContainmentPlan, IsolationLevel};
use super::proc;
use super::sys::Placement;

/// The containment of one tree. The shim itself is outside of it.
pub(super) struct Containment {
    level: IsolationLevel,
    cgroup: Option<PathBuf>,
    entrance: Option<File>,
}

impl Containment {
    /// Makes the attempt's cgroup; where that fails the subreaper alone has to do.
    pub(super) fn new(plan: &ContainmentPlan, name: &str) -> Self {
        let bare = Self { level: IsolationLevel::Subreaper, cgroup: None, entrance: None };
        let Some(parent) = plan.directory() else { return bare };
        let path = parent.join(name);
        let mut made = fs::create_dir(&path);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // The launcher of an earlier ant may have removed it, because nothing was in it just then.
            let _ = fs::create_dir(parent);
            made = fs::create_dir(&path);
        }
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return bare;
        }
        let entrance = match plan.level() {
            IsolationLevel::CgroupKill => File::open(&path),
            _ => OpenOptions::new().write(true).open(path.join("cgroup.procs")),
        };
        let Ok(entrance) = entrance else {
            let _ = fs::remove_dir(&path);
            return bare;
        };
        Self { level: plan.level(), cgroup: Some(path), entrance: Some(entrance) }
    }

    pub(super) fn level(&self) -> IsolationLevel {
        self.level
    }

    /// Where the program is born.
    pub(super) fn placement(&self) -> Placement<'_> {
        match (self.level, &self.entrance) {
            (IsolationLevel::CgroupKill, Some(directory)) => Placement::Cgroup(directory.as_fd()),
            (IsolationLevel::Freezer, Some(procs)) => Placement::Join(procs.as_fd()),
            _ => Placement::Here,
        }
    }

    /// Gives up the cgroup: the kernel did not let a process in.
    pub(super) fn fall_back(&mut self) {
        self.remove();
        self.level = IsolationLevel::Subreaper;
        self.cgroup = None;
        self.entrance = None;
    }

    /// The processes of the tree.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut all = proc::descendants(own_pid());
        if let Some(cgroup) = &self.cgroup {
            for pid in members(cgroup) {
                if !all.contains(&pid) {
                    all.push(pid);
                }
            }
        }
        all
    }

    /// Asks every process of the tree to end.
    pub(super) fn terminate(&self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            // One that is stopped would not see it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }

    /// One round of killing; the caller reaps and repeats until no child is left.
    pub(super) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            kill_cgroup(self.level, cgroup);
        }
        // The only means without a cgroup; with one, for what moved itself out of it.
        for pid in proc::descendants(own_pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Removes the cgroup. Fails while a process is in it.
    pub(super) fn remove(&self) -> bool {
        match &self.cgroup {
            Some(cgroup) => remove_cgroup(cgroup),
            None => true,
        }
    }
}

/// Removes a cgroup with those that a program has made in it. Fails while a process is in one of them.
pub(super) fn remove_cgroup(cgroup: &Path) -> bool {
    if fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
        return true;
    }
    let inner = walkdir::WalkDir::new(cgroup).min_depth(1).contents_first(true);
    for entry in inner.into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
        let _ = fs::remove_dir(entry.path());
    }
    fs::remove_dir(cgroup).is_ok()
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

fn members(cgroup: &Path) -> Vec<i32> {
    fs::read_to_string(cgroup.join("cgroup.procs"))
        .map(|list| list.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect())
        .unwrap_or_default()
}

/// Kills everything in a cgroup, once.
pub(super) fn kill_cgroup(level: IsolationLevel, cgroup: &Path) {
    match level {
        IsolationLevel::CgroupKill => {
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        }
        IsolationLevel::Freezer => kill_frozen(cgroup),
        IsolationLevel::Subreaper => {}
    }
}

/// Frozen processes cannot fork, so one pass sees them all; the KILL takes effect with the thaw.
fn kill_frozen(cgroup: &Path) {
    let Ok(mut state) = OpenOptions::new().read(true).write(true).open(cgroup.join("freezer.state")) else { return };
    let _ = state.write_all(b"FROZEN");
    for _ in 0..200 {
        let mut text = String::new();
        let read = File::open(cgroup.join("freezer.state")).and_then(|mut file| file.read_to_string(&mut text));
        if read.is_err() || text.trim() == "FROZEN" {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        let _ = state.write_all(b"FROZEN");
    }
    for pid in members(cgroup) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = state.write_all(b"THAWED");
}
