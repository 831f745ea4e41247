//! APPROVAL: asks people, and waits for what they say.

use atta_core::definition::{ApprovalOptions, ApprovalTimeout, Field, format_duration};
use atta_core::engine::{AttemptNumber, AttemptResult, Failure, ResultName};
use atta_core::protocol::JobId;
use atta_core::protocol::people::{ApprovalState, Decision};
use serde_json::{Value, json};

use super::super::approvals::{awaited, verdict};
use super::super::live::Finish;
use super::super::notifications::Occasion;
use super::super::state::State;
use super::Performed;
use crate::store::{ApprovalPolicy, ApprovalRow, Asked};

/// Longest text that people are asked, in bytes.
const LONGEST_MESSAGE: usize = 64 * 1024;

impl State {
    /// Asks.
    pub(super) fn ask_for_approval(
        &mut self,
        job: &JobId,
        attempt: AttemptNumber,
        options: &ApprovalOptions,
    ) -> Performed {
        let id = self.new_id("apr");
        let Some(live) = self.jobs.get(job) else { return Performed::invalid("the job is gone") };
        let Some(row) = live.attempts.get(&attempt) else { return Performed::invalid("the attempt is gone") };
        let task = live.task(row.task);
        let message = match options.message.as_ref().or(task.description.as_ref()) {
            None => None,
            Some(template) => {
                let scope = live.variables_of(row, &self.renderer, true);
                match self.renderer.render_text(&template.source, &scope) {
                    Ok(text) if text.len() > LONGEST_MESSAGE => {
                        return Performed::invalid(format!(
                            "approval.message has {} bytes, and may have {LONGEST_MESSAGE}",
                            text.len()
                        ));
                    }
                    Ok(text) => Some(text),
                    Err(problem) => return Performed::invalid(live.explain("approval.message", template, &problem)),
                }
            }
        };
        let now = live.last_at;
        let deadline = match &options.timeout {
            None => None,
            Some(Field::Value(timeout)) => Some(now.plus(*timeout)),
            Some(Field::Template(_)) => return Performed::invalid("approval.timeout was not resolved"),
        };
        let policy = ApprovalPolicy {
            min_approvals: options.min_approvals,
            users: options.users.clone(),
            roles: options.roles.clone(),
            unanimous: options.unanimous,
            timeout_action: options.timeout_action,
        };
        let row = ApprovalRow {
            id: id.clone(),
            job: job.clone(),
            job_type: live.row.job_type.clone(),
            attempt,
            task: task.name.clone(),
            policy,
            message,
            state: ApprovalState::Open,
            created_at: now,
            deadline,
            decided_at: None,
        };
        let reason = awaited(&row.policy, &[]);
        self.staged.approvals.insert(id, row.clone());
        self.staged.occasions.push((job.clone(), Occasion::Asked(Box::new(row.clone()))));
        self.approvals.insert(Asked { row, votes: Vec::new() });
        Performed::Waits { reason, until: deadline }
    }

    /// Says what the votes, or the lack of them, have come to.
    pub(super) fn approval_over(&mut self, job: &JobId, attempt: AttemptNumber) -> Performed {
        let Some(Asked { row, votes }) = self.approvals.get(job, attempt).cloned() else {
            return Performed::invalid("the approval is gone");
        };
        let of = |decision| -> Vec<&str> {
            votes.iter().filter(|vote| vote.decision == decision).map(|vote| vote.voter.as_str()).collect()
        };
        let (approved, rejected) = (of(Decision::Approve), of(Decision::Reject));
        let mut timed_out = false;
        let result = match (verdict(&row.policy, &votes), row.deadline) {
            (Some(result), _) => result,
            (None, Some(deadline)) if deadline <= self.time.now() => {
                timed_out = true;
                match row.policy.timeout_action {
                    ApprovalTimeout::Approve => ResultName::Approved,
                    ApprovalTimeout::Reject => ResultName::Rejected,
                    ApprovalTimeout::Escalate => {
                        self.staged.occasions.push((job.clone(), Occasion::NotAnswered(Box::new(row.clone()))));
                        ResultName::TimedOut
                    }
                }
            }
            (None, until) => return Performed::Waits { reason: awaited(&row.policy, &votes), until },
        };
        let waited = row.deadline.map(|deadline| format_duration(deadline.since(row.created_at))).unwrap_or_default();
        let message = match result {
            ResultName::Rejected if timed_out => {
                format!("it was not decided within {waited}, which counts as a rejection")
            }
            ResultName::Rejected => {
                let vote = votes.iter().find(|vote| vote.decision == Decision::Reject);
                let why = vote.and_then(|vote| vote.comment.as_deref()).unwrap_or_default();
                let first = why.lines().next().unwrap_or_default();
                let short: String = first.chars().take(200).collect();
                format!("{} rejected it: {short}", rejected.join(" and "))
            }
            _ => format!("it was not decided within {waited}"),
        };
        let comments: Vec<Value> = votes
            .iter()
            .filter(|vote| vote.comment.is_some())
            .map(|vote| json!({"by": vote.voter, "decision": vote.decision, "comment": vote.comment}))
            .collect();
        let outputs = [
            ("approved_by", json!(approved)),
            ("rejected_by", json!(rejected)),
            ("comments", Value::Array(comments)),
            ("timed_out", Value::Bool(timed_out)),
        ];
        let result = AttemptResult::Named(result);
        Performed::Finished {
            result,
            failure: (!result.is_success()).then(|| Failure { code: result.as_str().to_owned(), message }),
            finish: Finish {
                outputs: outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                ..Finish::default()
            },
        }
    }
}
