//! Measures how the server is, and decides how much is left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::protocol::api::DegradationResource;
use atta_core::resilience::{Component, Decision, Signals, Thresholds, Tier, Tiers};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::notes::put;
use crate::scheduler::Queen;
use crate::telemetry;

/// How often it is measured.
const EVERY: Duration = Duration::from_secs(1);
/// Nothing could be stored for so long: it is no matter of a moment.
const FAILING: Duration = Duration::from_secs(10);
/// Where a tier that was set by hand is kept, so that it survives a restart.
const FILE: &str = "degradation.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    tier: Tier,
    reason: String,
}

/// See the module.
pub(crate) struct Regulator {
    queen: Queen,
    data_dir: PathBuf,
    began: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    tiers: Tiers,
    measured: Signals,
    failing_since: Option<Instant>,
    in_force: Decision,
}

impl Regulator {
    /// Goes on with what was set by hand.
    pub(crate) fn open(queen: Queen, data_dir: &Path) -> Self {
        let mut tiers = Tiers::new(Thresholds::default());
        // The queen has looked for it already.
        let held = queen.tier();
        tiers.set(held.by_hand.then_some((held.tier, held.reason)));
        let inner = Inner { tiers, measured: Signals::default(), failing_since: None, in_force: Decision::default() };
        let regulator = Self { queen, data_dir: data_dir.to_owned(), began: Instant::now(), inner: Mutex::new(inner) };
        regulator.put_in_force();
        regulator
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures again and again.
    pub(crate) async fn run(self: Arc<Self>, component: Component) -> Result<(), String> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _busy = component.work();
            let dir = self.data_dir.clone();
            // A disk that hangs shows in this part, and holds up nothing else.
            let (disk, memory) =
                tokio::task::spawn_blocking(move || (disk(&dir), memory())).await.map_err(|error| error.to_string())?;
            let load = self.queen.load();
            let writing_fails = self.queen.health().is_err();
            {
                let mut inner = self.inner();
                let since = writing_fails.then(|| inner.failing_since.unwrap_or_else(Instant::now));
                inner.failing_since = since;
                inner.measured = Signals {
                    commit: load.commit,
                    queue_percent: u32::try_from(load.waiting * 100 / load.room.max(1)).ok(),
                    disk_free: disk.map(|(free, _)| free),
                    disk_total: disk.map(|(_, total)| total),
                    memory_available: memory,
                    writing_fails: since.is_some_and(|since| since.elapsed() >= FAILING),
                };
                let measured = inner.measured;
                inner.tiers.observe(self.began.elapsed(), &measured);
            }
            self.put_in_force();
        }
    }

    /// What was measured last.
    pub(crate) fn measured(&self) -> Signals {
        self.inner().measured
    }

    /// Sets a tier by hand, or leaves it to what is measured.
    pub(crate) fn set(&self, hand: Option<(Tier, String)>) -> io::Result<()> {
        match &hand {
            Some((tier, reason)) => {
                let text =
                    serde_json::to_vec(&Kept { tier: *tier, reason: reason.clone() }).map_err(io::Error::other)?;
                put(&self.data_dir, FILE, &text)?;
            }
            None => match fs::remove_file(self.data_dir.join(FILE)) {
                Ok(()) => fs::File::open(&self.data_dir)?.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
        }
        self.inner().tiers.set(hand);
        self.put_in_force();
        Ok(())
    }

    /// Tells the writer.
    fn put_in_force(&self) {
        let mut inner = self.inner();
        let decision = inner.tiers.decision();
        if decision == inner.in_force {
            return;
        }
        if decision.tier != inner.in_force.tier {
            let (from, to, reason) = (inner.in_force.tier, decision.tier, &decision.reason);
            if to > from {
                tracing::warn!(%from, %to, reason, "the server leaves out more");
            } else {
                tracing::info!(%from, %to, reason, "the server leaves out less");
            }
            telemetry::tier_changed(to);
        }
        inner.in_force = decision.clone();
        self.queen.set_tier(decision);
    }

    /// As it is shown.
    pub(crate) fn resource(&self) -> DegradationResource {
        let inner = self.inner();
        let Decision { tier, reason, by_hand } = inner.in_force.clone();
        DegradationResource {
            tier,
            reason: Some(reason).filter(|reason| !reason.is_empty()),
            by_hand,
            disk_free_bytes: inner.measured.disk_free,
            memory_available_bytes: inner.measured.memory_available,
            commit_ms: inner.measured.commit.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            writer_queue_percent: inner.measured.queue_percent,
        }
    }
}

/// What was set by hand, also by an earlier process. A note that cannot be read is said and passed over: it must not keep
/// the server from starting.
pub(crate) fn kept(data_dir: &Path) -> Option<(Tier, String)> {
    let file = data_dir.join(FILE);
    let kept = match fs::read(&file) {
        Ok(text) => serde_json::from_slice::<Kept>(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    kept.map(|kept| (kept.tier, kept.reason))
        .inspect_err(|error| {
            let file = file.display();
            tracing::warn!(%file, error, "what `atta degrade` had set cannot be read: set it again, or use --auto");
        })
        .ok()
}

/// Free and all bytes of the disk with this directory.
fn disk(dir: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

/// Available bytes of memory, as Linux estimates them.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
