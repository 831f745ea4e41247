//! What processes use, from `/proc`.

use std::collections::HashMap;

use anyhow::Context as _;

/// Of a process, its threads and its descendants.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory in KiB.
    pub(crate) rss_kib: f64,
    cpu_ticks: f64,
    /// Voluntary context switches by thread.
    switches: HashMap<String, f64>,
}

impl Usage {
    /// The sum over a process, its threads and its descendants.
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        Self::sum(pid, true)
    }

    /// Only the process with its threads.
    pub(crate) fn of_process(pid: u32) -> anyhow::Result<Self> {
        Self::sum(pid, false)
    }

    fn sum(pid: u32, descendants: bool) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        let mut pending = vec![pid];
        while let Some(pid) = pending.pop() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            usage.rss_kib += field(&status, "VmRSS:");
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name may hold anything; the fields follow its closing parenthesis. utime and stime are fields 14 and 15.
            let rest = stat.rsplit_once(')').context("malformed stat")?.1;
            for ticks in rest.split_whitespace().skip(11).take(2) {
                usage.cpu_ticks += ticks.parse::<f64>()?;
            }
            for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                let path = thread?.path();
                let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
                usage
                    .switches
                    .insert(field_text(&status, "Pid:").to_owned(), field(&status, "voluntary_ctxt_switches:"));
                if descendants {
                    let children = std::fs::read_to_string(path.join("children")).unwrap_or_default();
                    pending.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
                }
            }
        }
        Ok(usage)
    }

    /// Milliseconds of processor time since an earlier look.
    pub(crate) fn cpu_millis_since(&self, before: &Self) -> f64 {
        (self.cpu_ticks - before.cpu_ticks) * 1000.0 / TICKS_PER_SECOND
    }

    /// Switches of the threads that are there now; those of a thread that has ended meanwhile are not known.
    pub(crate) fn switches_since(&self, before: &Self) -> f64 {
        self.switches.iter().map(|(thread, count)| count - before.switches.get(thread).unwrap_or(&0.0)).sum()
    }
}

/// The most memory that a process has had, in KiB.
pub(crate) fn peak_rss_kib(pid: u32) -> anyhow::Result<f64> {
    Ok(field(&std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:"))
}

fn field(status: &str, name: &str) -> f64 {
    field_text(status, name).parse().unwrap_or(0.0)
}

fn field_text<'s>(status: &'s str, name: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
}

/// Linux reports processor time to programs in hundredths of a second on every platform that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
