//! What happens in the demo, told while it happens: the picker, a job per issue, and a reviewer.

use std::path::PathBuf;

use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobDetail, SubmitRequest, SubmitResponse};
use owo_colors::OwoColorize;
use serde_json::Value;

use super::stage::{Stage, comment};
use crate::client::Server;
use crate::client::follow::EventFollower;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;
use crate::progress::{Line, Progress};

/// What the reviewer asks for, in the words that the stand-in understands.
const REMARK: &str = "Does it work with more than three words? Please show it:\n\n- `shout look out below you` must print `LOOK OUT BELOW YOU`\n";

/// The issue whose pull request is commented before it is merged.
const COMMENTED: u64 = 1;

/// The issue that contradicts itself.
const QUESTION: u64 = 3;

/// Submits the picker, follows what it submits to the end, and sums up.
pub(super) async fn tell(server: &Server, stage: &Stage, made_up: bool) -> CommandResult<Exit> {
    output::say(&format!("{}\n", "The picker looks for issues that are ready".bold()));
    let picker = submit(server, "local-issue-picker").await?;
    let mut events = EventFollower::new(server, &picker);
    while events.next().await?.is_some() {}
    let picked = server.job(&picker).await?;
    if picked.summary.state != JobState::Completed {
        let why = picked.summary.reason.unwrap_or_default();
        return Err(Failure::failed(format!("The picker is {}: {why}", picked.summary.state.as_str())));
    }
    let jobs: Vec<JobId> = picked.children.into_iter().map(|child| child.job_id).collect();
    output::say(&format!("  it has submitted {} jobs, one for each\n\n", jobs.len()));
    let ended = futures_util::future::try_join_all(jobs.iter().map(|job| follow(server, stage, job))).await?;
    sum_up(stage, &ended, made_up)
}

async fn submit(server: &Server, job_type: &str) -> CommandResult<JobId> {
    let request = SubmitRequest { job_type: job_type.to_owned(), ..SubmitRequest::default() };
    let answer: SubmitResponse = server.json(server.post(&["jobs"]).json(&request)).await?;
    Ok(answer.job_id)
}

/// Shows a job as it goes, and plays its reviewer.
async fn follow(server: &Server, stage: &Stage, id: &JobId) -> CommandResult<JobDetail> {
    let job = server.job(id).await?;
    let mut review = Review::of(&job, stage);
    let mut progress = Progress::default();
    let mut events = EventFollower::new(server, id);
    while let Some(event) = events.next().await? {
        for line in progress.apply(&event) {
            // Where a way ends, all that lies behind it is skipped: here nobody wants to know.
            if let Line::Text(text) = line
                && !text.contains('○')
            {
                review.say(&text);
            }
        }
        review.look(stage)?;
    }
    server.job(id).await
}

/// What the reviewer has done about a pull request.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Commented,
    Merged,
}

struct Review {
    issue: u64,
    pull: PathBuf,
    branch: String,
    done: Done,
}

impl Review {
    fn of(job: &JobDetail, stage: &Stage) -> Self {
        let issue = issue_of(job);
        let name = format!("{issue}-{}", job.nonce.as_deref().unwrap_or_default());
        Self { issue, pull: stage.forge().join("pulls").join(&name), branch: format!("ai/{name}"), done: Done::Nothing }
    }

    fn say(&self, text: &str) {
        output::say(&format!("{} {text}\n", format!("#{}", self.issue).dimmed()));
    }

    fn act(&self, text: &str) {
        self.say(&format!("{} {text}", "reviewer:".magenta().bold()));
    }

    /// Does what is the reviewer's turn, if it is.
    fn look(&mut self, stage: &Stage) -> CommandResult<()> {
        if self.done == Done::Nothing && self.pull.join("pull.md").exists() {
            if self.issue == COMMENTED {
                comment(&self.pull, REMARK)?;
                self.act("“Does it work with more than three words? Please show it.”");
                self.done = Done::Commented;
            } else {
                self.merge(stage)?;
            }
        } else if self.done == Done::Commented
            && let Ok(answer) = std::fs::read_to_string(self.pull.join("answers/1.md"))
        {
            self.act(&format!("is answered: “{}”", output::harmless(answer.trim()).replace('\n', " ")));
            self.merge(stage)?;
        }
        Ok(())
    }

    fn merge(&mut self, stage: &Stage) -> CommandResult<()> {
        stage.merge(&self.branch)?;
        self.act(&format!("merges {}", self.branch));
        self.done = Done::Merged;
        Ok(())
    }
}

fn issue_of(job: &JobDetail) -> u64 {
    job.params.get("Issue").and_then(Value::as_u64).unwrap_or_default()
}

/// A row per issue, the question that is left, and where the work is now.
fn sum_up(stage: &Stage, jobs: &[JobDetail], made_up: bool) -> CommandResult<Exit> {
    let mut unexpected = 0;
    let mut rows = Vec::new();
    for job in jobs {
        let issue = issue_of(job);
        let expected = if issue == QUESTION { JobState::Blocked } else { JobState::Completed };
        unexpected += usize::from(job.summary.state != expected);
        let took = output::between(Some(&job.summary.created_at), job.summary.finished_at.as_deref());
        let (turns, cost) = job.agents.as_ref().map_or((0, 0.0), |agents| (agents.turns, agents.cost_usd));
        rows.push(vec![
            format!("#{issue}"),
            job.summary.state.as_str().to_owned(),
            took.map(output::duration).unwrap_or_default(),
            turns.to_string(),
            format!("{cost:.4}"),
            job.summary.job_id.0.clone(),
        ]);
    }
    rows.sort();
    let header = ["ISSUE", "RESULT", "TOOK", "TURNS", if made_up { "USD (MADE UP)" } else { "USD" }, "JOB"];
    output::print(&format!("\n{}", output::table(&header, &rows)))?;
    if let Some(question) = question(stage) {
        output::print(&format!("\nIssue {QUESTION} needs a person:\n{}\n", indented(&question)))?;
    }
    output::print(&format!("\nThe main branch now:\n{}", indented(&stage.history()?)))?;
    Ok(if unexpected == 0 { Exit::Success } else { Exit::Failed })
}

/// What was asked of people about the issue that contradicts itself.
fn question(stage: &Stage) -> Option<String> {
    let comments = std::fs::read_dir(stage.forge().join(format!("comments/{QUESTION}"))).ok()?;
    comments.flatten().find_map(|entry| std::fs::read_to_string(entry.path()).ok())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.trim().lines().map(|line| format!("  {}", output::harmless(line))).collect();
    lines.join("\n") + "\n"
}
