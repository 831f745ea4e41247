//! What agents may use up and have used up, and the accounts that they use it of.

use atta_core::budget::{Caps, Measure, Part, Purse, Sums};
use atta_core::engine::AttemptNumber;
use atta_core::protocol::JobId;
use atta_core::protocol::budgets::{BudgetAmounts, JobBudget};
use atta_core::time::UnixMillis;

use super::sql::{Row, Transaction, query};
use super::{Changes, StoreError, StoreWriter, signed, unsigned};

/// A row of `agent_spend`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpendRow {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    /// The account that it was given.
    pub(crate) account: String,
    /// What it may use at most.
    pub(crate) part: Part,
    /// When it has ended.
    pub(crate) settled: Option<Settled>,
}

/// What is counted of an attempt that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Days since 1970, UTC.
    pub(crate) day: i64,
    pub(crate) counted: Sums,
    /// Nobody knows its cost.
    pub(crate) unknown_usd: bool,
    /// Nobody knows its tokens.
    pub(crate) unknown_tokens: bool,
}

/// What is added to the sums of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DaySum {
    pub(crate) attempts: u32,
    pub(crate) counted: Sums,
    /// Attempts whose cost nobody knows.
    pub(crate) unknown: u32,
}

/// A row of `accounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountRow {
    pub(crate) name: String,
    pub(crate) parked_until: Option<UnixMillis>,
    /// What was said.
    pub(crate) reason: String,
    pub(crate) limited_at: UnixMillis,
    /// How often in a row nobody said until when.
    pub(crate) strikes: u32,
}

fn column(caps: &Caps, measure: Measure) -> Option<i64> {
    caps.get(measure).map(signed)
}

fn caps(row: &Row, table: &'static str, names: [&'static str; 4]) -> Result<Caps, StoreError> {
    let mut caps = Caps::default();
    for (measure, name) in Measure::ALL.into_iter().zip(names) {
        let value: Option<i64> = row.try_get(name)?;
        caps.set(measure, value.map(|value| unsigned(table, name, value)).transpose()?);
    }
    Ok(caps)
}

fn sums(row: &Row, table: &'static str, names: [&'static str; 4]) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    for (measure, name) in Measure::ALL.into_iter().zip(names) {
        let value: Option<i64> = row.try_get(name)?;
        sums.set(measure, unsigned(table, name, value.unwrap_or(0))?);
    }
    Ok(sums)
}

/// All columns of `agent_spend`, by name.
pub(super) fn spend_row(row: &Row) -> Result<SpendRow, StoreError> {
    let bounds: String = row.try_get("bounds")?;
    let most = caps(row, "agent_spend", ["most_usd", "most_tokens", "most_turns", "most_ms"])?;
    let part = Part::stored(most, &bounds);
    let part = part.ok_or(StoreError::Value { table: "agent_spend", column: "bounds", value: bounds })?;
    let settled = match row.try_get::<Option<i64>, _>("day")? {
        Some(day) => Some(Settled {
            day,
            counted: sums(row, "agent_spend", ["counted_usd", "counted_tokens", "counted_turns", "counted_ms"])?,
            unknown_usd: row.try_get::<i64, _>("unknown_usd")? != 0,
            unknown_tokens: row.try_get::<i64, _>("unknown_tokens")? != 0,
        }),
        None => None,
    };
    Ok(SpendRow {
        job: JobId(row.try_get("job_id")?),
        attempt: AttemptNumber(unsigned("agent_spend", "attempt", row.try_get("attempt")?)?),
        account: row.try_get("account")?,
        part,
        settled,
    })
}

/// From `job_budgets`.
pub(super) fn budget_row(row: &Row) -> Result<Caps, StoreError> {
    caps(row, "job_budgets", ["usd", "tokens", "turns", "ms"])
}

impl StoreWriter {
    /// What was counted on a day, by definition.
    pub(crate) async fn load_spend_of(&mut self, day: i64) -> Result<Vec<(String, Sums)>, StoreError> {
        let rows = query("SELECT job_type, usd, tokens, turns, ms FROM spend_days WHERE day = $1")
            .bind(day)
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("job_type")?, sums(row, "spend_days", ["usd", "tokens", "turns", "ms"])?)))
            .collect()
    }

    /// All of them.
    pub(crate) async fn load_accounts(&mut self) -> Result<Vec<AccountRow>, StoreError> {
        let rows = query("SELECT name, parked_until, reason, limited_at, strikes FROM accounts")
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AccountRow {
                    name: row.try_get(0)?,
                    parked_until: row.try_get::<Option<i64>, _>(1)?.map(UnixMillis),
                    reason: row.try_get(2)?,
                    limited_at: UnixMillis(row.try_get(3)?),
                    strikes: unsigned("accounts", "strikes", row.try_get(4)?)?,
                })
            })
            .collect()
    }

    /// Writes all that a batch changed of these, inside of its transaction.
    pub(super) async fn write_spending(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        for (job, caps) in &changes.job_budgets {
            self.write_job_budget(job, caps).await?;
        }
        for (job, attempt, row) in &changes.spend {
            self.write_spend((job, *attempt), *row).await?;
        }
        for (day, job_type, sum) in &changes.spend_days {
            self.write_spend_day(*day, job_type, sum).await?;
        }
        for row in &changes.accounts {
            self.write_account(row).await?;
        }
        Ok(())
    }

    async fn write_spend(
        &mut self,
        (job, attempt): (&JobId, AttemptNumber),
        row: Option<&SpendRow>,
    ) -> Result<(), StoreError> {
        let Some(SpendRow { account, part, settled, .. }) = row else {
            query("DELETE FROM agent_spend WHERE job_id = $1 AND attempt = $2")
                .bind(&job.0)
                .bind(attempt.0)
                .execute(self.connection().await?)
                .await?;
            return Ok(());
        };
        let counted = |measure| settled.map(|settled| signed(settled.counted.get(measure)));
        query(
            "INSERT INTO agent_spend (job_id, attempt, account, most_usd, most_tokens, most_turns, most_ms, bounds, day,
                counted_usd, counted_tokens, counted_turns, counted_ms, unknown_usd, unknown_tokens)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
             ON CONFLICT (job_id, attempt) DO UPDATE SET account = excluded.account, most_usd = excluded.most_usd,
                most_tokens = excluded.most_tokens, most_turns = excluded.most_turns, most_ms = excluded.most_ms,
                bounds = excluded.bounds, day = excluded.day, counted_usd = excluded.counted_usd,
                counted_tokens = excluded.counted_tokens, counted_turns = excluded.counted_turns,
                counted_ms = excluded.counted_ms, unknown_usd = excluded.unknown_usd,
                unknown_tokens = excluded.unknown_tokens",
        )
        .bind(&job.0)
        .bind(attempt.0)
        .bind(account)
        .bind(column(&part.caps, Measure::Usd))
        .bind(column(&part.caps, Measure::Tokens))
        .bind(column(&part.caps, Measure::Turns))
        .bind(column(&part.caps, Measure::Time))
        .bind(part.bounds())
        .bind(settled.map(|settled| settled.day))
        .bind(counted(Measure::Usd))
        .bind(counted(Measure::Tokens))
        .bind(counted(Measure::Turns))
        .bind(counted(Measure::Time))
        .bind(settled.map_or(0_i64, |settled| i64::from(settled.unknown_usd)))
        .bind(settled.map_or(0_i64, |settled| i64::from(settled.unknown_tokens)))
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    /// Adds to the sums of a day.
    async fn write_spend_day(&mut self, day: i64, job_type: &str, sum: &DaySum) -> Result<(), StoreError> {
        query(
            "INSERT INTO spend_days (day, job_type, attempts, usd, tokens, turns, ms, unknown)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (day, job_type) DO UPDATE SET attempts = spend_days.attempts + excluded.attempts,
                usd = spend_days.usd + excluded.usd, tokens = spend_days.tokens + excluded.tokens,
                turns = spend_days.turns + excluded.turns, ms = spend_days.ms + excluded.ms,
                unknown = spend_days.unknown + excluded.unknown",
        )
        .bind(day)
        .bind(job_type)
        .bind(i64::from(sum.attempts))
        .bind(signed(sum.counted.get(Measure::Usd)))
        .bind(signed(sum.counted.get(Measure::Tokens)))
        .bind(signed(sum.counted.get(Measure::Turns)))
        .bind(signed(sum.counted.get(Measure::Time)))
        .bind(i64::from(sum.unknown))
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    /// Writes the limits of a job.
    async fn write_job_budget(&mut self, job: &JobId, caps: &Caps) -> Result<(), StoreError> {
        query(
            "INSERT INTO job_budgets (job_id, usd, tokens, turns, ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (job_id) DO UPDATE SET usd = excluded.usd, tokens = excluded.tokens, turns = excluded.turns,
                ms = excluded.ms",
        )
        .bind(&job.0)
        .bind(column(caps, Measure::Usd))
        .bind(column(caps, Measure::Tokens))
        .bind(column(caps, Measure::Turns))
        .bind(column(caps, Measure::Time))
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    /// Writes an account.
    async fn write_account(&mut self, row: &AccountRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO accounts (name, parked_until, reason, limited_at, strikes) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET parked_until = excluded.parked_until, reason = excluded.reason,
                limited_at = excluded.limited_at, strikes = excluded.strikes",
        )
        .bind(&row.name)
        .bind(row.parked_until.map(|at| at.0))
        .bind(&row.reason)
        .bind(row.limited_at.0)
        .bind(i64::from(row.strikes))
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }
}

/// The budget of a job, if it has one.
pub(super) async fn job_budget(connection: &mut Transaction, job: &JobId) -> Result<Option<JobBudget>, StoreError> {
    let row = query("SELECT usd, tokens, turns, ms FROM job_budgets WHERE job_id = $1")
        .bind(&job.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let limits = budget_row(&row)?;
    let rows = query("SELECT * FROM agent_spend WHERE job_id = $1").bind(&job.0).fetch_all(&mut *connection).await?;
    let (mut purse, mut assumed) = (Purse { caps: limits, ..Purse::default() }, 0_u32);
    for row in &rows {
        let row = spend_row(row)?;
        if let Some(settled) = row.settled {
            purse.used.add(&settled.counted);
            assumed += u32::from(settled.unknown_usd || settled.unknown_tokens);
        } else {
            purse.reserve(&row.part);
        }
    }
    Ok(Some(JobBudget {
        limits: BudgetAmounts::limits(&purse.caps),
        used: BudgetAmounts::sums(&purse.used),
        reserved: BudgetAmounts::sums(&purse.reserved),
        open: purse.open,
        assumed,
    }))
}
