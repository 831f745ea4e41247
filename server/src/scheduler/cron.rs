//! Schedules: one job per tick.
//!
//! `next_fire_at` is stored per definition. What is due is the ticks from it up to now. The newest of them is on time
//! when it is not older than `ON_TIME`; all others were missed, because nobody looked (the server was down, the clock
//! jumped). `misfire` says what becomes of them: `skip` makes one visible SKIPPED job that tells how many there were,
//! `run_once` one job for all, `run_all` one job each, up to `MOST_TICKS` of them. A clock that is set back repeats
//! nothing: `next_fire_at` stays where it is, and a tick has at most one job by a unique index.

use std::time::Duration;

use atta_core::definition::Misfire;
use atta_core::protocol::JobId;
use atta_core::time::UnixMillis;

use super::Refusal;
use super::definitions::LoadedVersion;
use super::state::State;
use super::submit::{NewJob, job_id};
use crate::store::{JobOrigin, StoreError, StoreWriter};

/// A tick that is looked at this late was not missed.
const ON_TIME: Duration = Duration::from_mins(1);

/// How many ticks are looked at, and how many jobs `run_all` makes at once.
const MOST_TICKS: usize = 100;

impl State {
    /// When the next schedule fires.
    pub(super) fn next_tick(&self) -> Option<UnixMillis> {
        // What is missed meanwhile is made up for as each schedule says.
        if !self.schedules || self.is_read_only().is_some() {
            return None;
        }
        self.definitions.values().filter_map(|entry| entry.row.next_fire_at).min()
    }

    /// Makes the jobs of all ticks that are due.
    pub(super) async fn fire_schedules(&mut self, database: &mut StoreWriter) -> Result<(), StoreError> {
        let now = self.clock.now();
        if self.next_tick().is_none_or(|tick| tick > now) {
            return Ok(());
        }
        let due: Vec<(String, String, UnixMillis)> = self
            .definitions
            .values()
            .filter_map(|entry| Some((entry, entry.row.next_fire_at.filter(|at| *at <= now)?)))
            .map(|(entry, at)| (entry.row.job_type.clone(), entry.row.latest_version.clone(), at))
            .collect();
        for (job_type, latest, first) in due {
            let version = match self.version(database, &job_type, &latest).await {
                Ok(version) => version,
                Err(refusal) => {
                    // Without its definition there is nothing to run and no next tick.
                    tracing::error!(%job_type, %refusal, "schedule cannot be read");
                    self.set_degraded(&job_type, Some(refusal.to_string()));
                    self.set_next_tick(&job_type, None);
                    continue;
                }
            };
            let Some(schedule) = version.definition.schedule.clone() else {
                self.set_next_tick(&job_type, None);
                continue;
            };
            // The newest ticks count; of a long gap the oldest are only counted.
            let before_first = UnixMillis(first.0 - 1);
            let mut ticks = schedule.ticks_between(before_first, now, MOST_TICKS + 1);
            let too_many = ticks.len() > MOST_TICKS;
            if too_many {
                let newest = newest_ticks(&schedule, first, now);
                if !newest.is_empty() {
                    ticks = newest;
                }
            }
            self.fire_ticks(database, &version, schedule.misfire, first, &ticks, too_many).await?;
            self.set_next_tick(&job_type, schedule.next_after(now));
        }
        Ok(())
    }

    pub(super) fn set_next_tick(&mut self, job_type: &str, next: Option<UnixMillis>) {
        if let Some(entry) = self.definitions.get_mut(job_type) {
            entry.row.next_fire_at = next;
            self.staged.definitions.insert(job_type.to_owned());
        }
    }

    async fn fire_ticks(
        &mut self,
        database: &mut StoreWriter,
        version: &std::sync::Arc<LoadedVersion>,
        misfire: Misfire,
        first: UnixMillis,
        ticks: &[UnixMillis],
        too_many: bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let Some(newest) = ticks.last().copied() else { return Ok(()) };
        let on_time = now.since(newest) <= ON_TIME;
        let missed = if on_time { &ticks[..ticks.len() - 1] } else { ticks };
        let more_than = if too_many { "more than " } else { "" };
        match misfire {
            Misfire::Skip => {
                if let (Some(last), count) = (missed.last(), missed.len()) {
                    let reason = format!(
                        "missed {more_than}{count} {} from {} to {} (misfire: skip)",
                        if count == 1 { "tick" } else { "ticks" },
                        first.to_rfc3339(),
                        last.to_rfc3339()
                    );
                    self.fire_tick(database, version, *last, Some(reason)).await?;
                }
                if on_time {
                    let limit = version.definition.max_concurrency;
                    let full = self.admission.is_full(&version.job_type, limit);
                    let reason = limit.filter(|_| full).map(|limit| {
                        format!("the tick came while max_concurrency {limit} was used up (misfire: skip)")
                    });
                    self.fire_tick(database, version, newest, reason).await?;
                }
            }
            Misfire::RunOnce => self.fire_tick(database, version, newest, None).await?,
            Misfire::RunAll => {
                if too_many && first < ticks[0] {
                    let reason = format!(
                        "more ticks than {MOST_TICKS} were missed since {}: those before {} are dropped",
                        first.to_rfc3339(),
                        ticks[0].to_rfc3339()
                    );
                    self.fire_tick(database, version, first, Some(reason)).await?;
                }
                for tick in ticks {
                    self.fire_tick(database, version, *tick, None).await?;
                }
            }
        }
        Ok(())
    }

    /// One job for a tick; with a reason it is SKIPPED at once.
    async fn fire_tick(
        &mut self,
        database: &mut StoreWriter,
        version: &std::sync::Arc<LoadedVersion>,
        tick: UnixMillis,
        skip: Option<String>,
    ) -> Result<(), StoreError> {
        let id = tick_job_id(&version.job_type, tick);
        if self.jobs.contains_key(&id) || database.tick_exists(&version.job_type, tick).await? {
            return Ok(());
        }
        let new = NewJob {
            id: id.clone(),
            version: version.clone(),
            params: serde_json::Map::new(),
            user_key: None,
            priority: None,
            description: None,
            submitted_by: "cron".to_owned(),
            scheduled_at: None,
            tick: Some(tick),
            origin: JobOrigin::default(),
        };
        if let Some(reason) = skip {
            self.create_bare_job(version, &id, "cron", Some(tick), JobOrigin::default());
            self.skip_job(&id, reason);
        } else {
            match self.create_job(new) {
                Ok(()) => {
                    self.consider(&id);
                    self.admit();
                }
                Err(refusal) => self.refuse_tick(version, &id, tick, &refusal),
            }
        }
        metrics::counter!("atta_schedule_ticks_total").increment(1);
        Ok(())
    }

    /// A tick whose job cannot be made is a visible SKIPPED job all the same.
    fn refuse_tick(
        &mut self,
        version: &std::sync::Arc<LoadedVersion>,
        id: &JobId,
        tick: UnixMillis,
        refusal: &Refusal,
    ) {
        if !matches!(refusal, Refusal::Conflict { .. } | Refusal::Duplicate { .. }) {
            self.set_degraded(&version.job_type, Some(format!("the schedule cannot start it: {refusal}")));
        }
        self.create_bare_job(version, id, "cron", Some(tick), JobOrigin::default());
        self.skip_job(id, refusal.to_string());
    }
}

/// The last [`MOST_TICKS`] ticks of a gap that has more.
fn newest_ticks(schedule: &atta_core::definition::Schedule, first: UnixMillis, now: UnixMillis) -> Vec<UnixMillis> {
    // Half as long a stretch each time, until it holds few enough.
    let mut from = first.0;
    for _ in 0..64 {
        from += (now.0 - from) / 2;
        let ticks = schedule.ticks_between(UnixMillis(from - 1), now, MOST_TICKS + 1);
        if ticks.len() <= MOST_TICKS {
            return ticks;
        }
    }
    Vec::new()
}

/// The same job id for the same tick, whoever makes it.
fn tick_job_id(job_type: &str, tick: UnixMillis) -> JobId {
    let hash = blake3::hash(format!("{job_type}\0{}", tick.0).as_bytes());
    let (a, b) = hash.as_bytes().split_at(8);
    let number = |bytes: &[u8]| bytes.iter().take(8).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
    job_id(u64::try_from(tick.0).unwrap_or(0), number(a), number(b))
}
