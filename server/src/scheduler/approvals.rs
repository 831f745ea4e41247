//! Votes of people on what tasks ask them.
//!
//! A vote is stored in the transaction that wakes the attempt when it decides; the outcome is computed from the stored
//! votes when the attempt wakes.

use std::collections::{BTreeMap, HashMap};

use atta_core::definition::is_person_name;
use atta_core::engine::{AttemptNumber, AttemptResult, Event, ResultName};
use atta_core::protocol::JobId;
use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision};
use atta_core::time::UnixMillis;

use super::command::Command;
use super::state::State;
use super::{Queen, Refusal};
use crate::store::{ApprovalPolicy, ApprovalRow, Asked, StoreWriter, Via, VoteRow};

/// Longest comment, in bytes.
const LONGEST_COMMENT: usize = 10_000;

/// A vote that somebody wants to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// On what.
    pub on: VoteOn,
    /// Who.
    pub voter: String,
    /// For or against.
    pub decision: Decision,
    /// Why.
    pub comment: Option<String>,
    /// How it came.
    pub via: Via,
}

/// What is voted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoteOn {
    /// An approval by its id.
    Approval(String),
    /// What a task of a job asks now.
    Task(JobId, String),
}

/// Approvals that can be voted on.
#[derive(Debug, Default)]
pub(super) struct OpenApprovals {
    open: BTreeMap<(JobId, AttemptNumber), Asked>,
    ids: HashMap<String, (JobId, AttemptNumber)>,
}

impl OpenApprovals {
    pub(super) fn new(all: Vec<Asked>) -> Self {
        let mut found = Self::default();
        for asked in all {
            found.insert(asked);
        }
        found
    }

    pub(super) fn insert(&mut self, asked: Asked) {
        let key = (asked.row.job.clone(), asked.row.attempt);
        self.ids.insert(asked.row.id.clone(), key.clone());
        self.open.insert(key, asked);
    }

    pub(super) fn get(&self, job: &JobId, attempt: AttemptNumber) -> Option<&Asked> {
        if self.open.is_empty() {
            return None;
        }
        self.open.get(&(job.clone(), attempt))
    }

    fn range(&self, job: &JobId) -> impl Iterator<Item = (&(JobId, AttemptNumber), &Asked)> {
        let from = (job.clone(), AttemptNumber(0));
        self.open.range(from..).take_while(move |((of, _), _)| of == job)
    }

    /// All of a job.
    pub(super) fn of_job(&self, job: &JobId) -> Vec<(JobId, AttemptNumber)> {
        self.range(job).map(|(key, _)| key.clone()).collect()
    }

    fn of_task(&self, job: &JobId, task: &str) -> Vec<(JobId, AttemptNumber)> {
        self.range(job).filter(|(_, asked)| asked.row.task == task).map(|(key, _)| key.clone()).collect()
    }

    /// The attempt has ended: the row as it stays.
    pub(super) fn close(
        &mut self,
        job: &JobId,
        attempt: AttemptNumber,
        result: AttemptResult,
        at: UnixMillis,
    ) -> Option<ApprovalRow> {
        if self.open.is_empty() {
            return None;
        }
        let Asked { mut row, .. } = self.open.remove(&(job.clone(), attempt))?;
        self.ids.remove(&row.id);
        row.state = match result {
            AttemptResult::Named(ResultName::Approved) => ApprovalState::Approved,
            AttemptResult::Named(ResultName::Rejected) => ApprovalState::Rejected,
            AttemptResult::Named(ResultName::TimedOut) => ApprovalState::TimedOut,
            _ => ApprovalState::Closed,
        };
        row.decided_at = Some(at);
        Some(row)
    }
}

/// What the votes come to: one rejection rejects; the approvals must be enough.
pub(super) fn verdict(policy: &ApprovalPolicy, votes: &[VoteRow]) -> Option<ResultName> {
    if votes.iter().any(|vote| vote.decision == Decision::Reject) {
        Some(ResultName::Rejected)
    } else if votes.len() >= needed(policy) {
        Some(ResultName::Approved)
    } else {
        None
    }
}

fn needed(policy: &ApprovalPolicy) -> usize {
    if policy.unanimous { policy.users.len() } else { policy.min_approvals as usize }
}

/// What the attempt waits for, as the end of "task x waits for …".
pub(super) fn awaited(policy: &ApprovalPolicy, votes: &[VoteRow]) -> String {
    let needed = needed(policy);
    let unit = if needed == 1 { "vote" } else { "votes" };
    let latest = votes.last().map(|vote| {
        let what = if vote.decision == Decision::Approve { "approved" } else { "rejected" };
        format!("; {} {what}", vote.voter)
    });
    format!("an approval ({} of {needed} {unit}{})", votes.len(), latest.unwrap_or_default())
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn who_may(policy: &ApprovalPolicy) -> String {
    let mut who = policy.users.clone();
    who.extend(policy.roles.iter().map(|role| format!("holders of the role {role}")));
    listed(&who)
}

fn decided(asked: &Asked) -> Refusal {
    let Asked { row, votes } = asked;
    let of = |decision| {
        let voters: Vec<String> =
            votes.iter().filter(|vote| vote.decision == decision).map(|vote| vote.voter.clone()).collect();
        if voters.is_empty() { String::new() } else { format!(" by {}", listed(&voters)) }
    };
    let at = row.decided_at.map(|at| format!(" at {}", at.to_rfc3339())).unwrap_or_default();
    let how = match row.state {
        ApprovalState::Approved if of(Decision::Approve).is_empty() => {
            format!("counted as approved{at}, nobody having voted in time")
        }
        ApprovalState::Approved => format!("was approved{}{at}", of(Decision::Approve)),
        ApprovalState::Rejected if of(Decision::Reject).is_empty() => {
            format!("counted as rejected{at}, too few having voted in time")
        }
        ApprovalState::Rejected => format!("was rejected{}{at}", of(Decision::Reject)),
        ApprovalState::TimedOut => format!("ran out of time{at}"),
        ApprovalState::Closed => format!("was closed{at}: the job went on without it"),
        ApprovalState::Open => match verdict(&row.policy, votes) {
            Some(ResultName::Rejected) => format!("is rejected{} and waits for the job to go on", of(Decision::Reject)),
            Some(_) => format!("is approved{} and waits for the job to go on", of(Decision::Approve)),
            None => {
                let deadline = row.deadline.map(UnixMillis::to_rfc3339).unwrap_or_default();
                format!("ran out of time at {deadline}")
            }
        },
    };
    Refusal::Conflict {
        code: "APPROVAL_DECIDED",
        message: format!("{} of the task {} of the job {} {how}: the vote does not count", row.id, row.task, row.job),
    }
}

impl State {
    /// Takes a vote; it counts when the batch is stored.
    pub(super) async fn vote(&mut self, database: &mut StoreWriter, vote: Vote) -> Result<ApprovalResource, Refusal> {
        let Vote { on, voter, decision, comment, via } = vote;
        let key = self.voted_on(database, &on).await?;
        let now = self.time.now();
        let gone = || Refusal::NotFound { what: "approval".to_owned() };
        let asked = self.approvals.open.get(&key).ok_or_else(gone)?;
        let policy = &asked.row.policy;
        if let Some(earlier) = asked.votes.iter().find(|earlier| earlier.voter == voter) {
            let what = if earlier.decision == Decision::Approve { "approved" } else { "rejected" };
            return Err(Refusal::Conflict {
                code: "ALREADY_VOTED",
                message: format!(
                    "{voter} {what} this at {}; one person has one vote, and it stands",
                    earlier.at.to_rfc3339()
                ),
            });
        }
        self.may_vote(policy, &voter)?;
        if asked.row.deadline.is_some_and(|deadline| deadline <= now) || verdict(policy, &asked.votes).is_some() {
            return Err(decided(asked));
        }
        let comment = check_comment(decision, comment)?;
        let (job, attempt) = key.clone();
        self.refuse_damaged(&job)?;
        let row = VoteRow { approval: asked.row.id.clone(), voter, decision, comment, via, at: now };
        let mut after = asked.clone();
        after.votes.push(row.clone());
        let resource = after.resource();
        let reason = awaited(&after.row.policy, &after.votes);
        let decides = verdict(&after.row.policy, &after.votes).is_some();
        // The history tells of each vote: it is waited for something else now.
        self.feed(&job, Event::AttemptWaiting { attempt, reason }, None)?;
        self.approvals.insert(after);
        self.staged.votes.push(row);
        if decides {
            self.wake_waiting(&job, attempt, now);
        }
        Ok(resource)
    }

    async fn voted_on(&mut self, database: &mut StoreWriter, on: &VoteOn) -> Result<(JobId, AttemptNumber), Refusal> {
        let (job, task) = match on {
            VoteOn::Approval(id) => {
                if let Some(key) = self.approvals.ids.get(id) {
                    return Ok(key.clone());
                }
                return Err(match database.load_approval(id).await? {
                    Some(asked) if asked.row.state != ApprovalState::Open => decided(&asked),
                    _ => match self.staged.approvals.get(id) {
                        // Decided by another vote of this very batch.
                        Some(row) => decided(&Asked { row: row.clone(), votes: self.staged_votes(id) }),
                        None => Refusal::NotFound { what: format!("approval {id}") },
                    },
                });
            }
            VoteOn::Task(job, task) => (job, task),
        };
        let found = self.approvals.of_task(job, task);
        match &found[..] {
            [one] => Ok(one.clone()),
            [] => {
                database.job_state(job).await?.ok_or_else(|| Refusal::job_not_found(job))?;
                Err(match database.latest_approval(job, task).await? {
                    Some(asked) if asked.row.state != ApprovalState::Open => decided(&asked),
                    _ => Refusal::NotFound { what: format!("approval asked for by the task {task} of the job {job}") },
                })
            }
            several => {
                let ids = several.iter().filter_map(|key| self.approvals.open.get(key)).map(|asked| &*asked.row.id);
                Err(Refusal::Conflict {
                    code: "AMBIGUOUS",
                    message: format!(
                        "the task {task} asks for {} approvals, vote on one of them: {}",
                        several.len(),
                        ids.take(10).collect::<Vec<_>>().join(", ")
                    ),
                })
            }
        }
    }

    fn staged_votes(&self, id: &str) -> Vec<VoteRow> {
        self.staged.votes.iter().filter(|vote| vote.approval == id).cloned().collect()
    }

    /// Whether a person is among those who are asked.
    fn may_vote(&self, policy: &ApprovalPolicy, voter: &str) -> Result<(), Refusal> {
        if !is_person_name(voter) {
            let message = format!(
                "{voter:?} cannot be the name of a user: letters, digits, `.`, `_`, `@`, `+` and `-` are allowed, at most 100, \
                 a letter or digit first"
            );
            return Err(Refusal::violation("INVALID_REQUEST", "X-Atta-User", "INVALID_NAME", message));
        }
        let everybody = policy.users.is_empty() && policy.roles.is_empty();
        let named = policy.users.iter().any(|user| user == voter);
        if everybody || named || self.directory.roles_of(voter).iter().any(|role| policy.roles.contains(role)) {
            return Ok(());
        }
        Err(Refusal::Forbidden {
            code: "MAY_NOT_VOTE",
            message: format!("{voter} may not vote here; asked are {}", who_may(policy)),
        })
    }
}

fn check_comment(decision: Decision, comment: Option<String>) -> Result<Option<String>, Refusal> {
    let comment = comment.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let wrong =
        |violation, message: &str| Err(Refusal::violation("INVALID_REQUEST", "comment", violation, message.to_owned()));
    match &comment {
        None if decision == Decision::Reject => wrong("MISSING", "a rejection needs a comment that says why"),
        Some(text) if text.len() > LONGEST_COMMENT => wrong("TOO_LONG", "a comment may have 10000 bytes"),
        _ => Ok(comment),
    }
}

impl Queen {
    /// Gives a vote; it is stored when this returns, and what it decides as well.
    pub async fn vote(&self, vote: Vote) -> Result<ApprovalResource, Refusal> {
        let vote = Box::new(vote);
        self.ask(|reply| Command::Vote { vote, reply }).await
    }
}
