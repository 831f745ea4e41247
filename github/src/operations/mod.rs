//! What can be done, one file per thing.

mod activity;
mod branches;
mod comments;
mod harmless;
mod issues;
mod labels;
mod pulls;

use atta_core::definition::GithubOperation;
use indexmap::IndexMap;
use serde_json::Value;

use crate::failed::{Failed, Kind};
use crate::session::{Done, Session};

/// Bytes of all outputs: whoever floods an issue is not to flood what reports on it.
const LARGEST: usize = 4 << 20;

/// Takes so many bytes, and refuses the next.
struct Room(usize);

impl std::io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Outputs = Result<Vec<(&'static str, Value)>, Failed>;

impl Session<'_> {
    /// Whoever knew the state of before, and is told the same again, is answered as a cache would be.
    fn nothing_new(&self, given: &[(&'static str, Value)]) -> bool {
        let looks = self.order.operation == GithubOperation::PrActivity && self.setting("cursor").is_some();
        looks && given.contains(&("news", Value::Bool(false)))
    }

    /// Does what was ordered, to its end. May be cut off anywhere and begun again.
    pub async fn perform(&self) -> Result<Done, Failed> {
        let given = match self.order.operation {
            GithubOperation::ListIssues => self.list_issues().await,
            GithubOperation::SearchIssues => self.search_issues().await,
            GithubOperation::GetIssue => self.get_issue().await,
            GithubOperation::CloseIssue => self.set_state("closed").await,
            GithubOperation::ReopenIssue => self.set_state("open").await,
            GithubOperation::SetLabels => self.set_labels().await,
            GithubOperation::Comment => self.comment().await,
            GithubOperation::CreatePullRequest => self.create_pull_request().await,
            GithubOperation::FindPullRequest => self.find_pull_request().await,
            GithubOperation::UpdatePullRequest => self.update_pull_request().await,
            GithubOperation::RequestReview => self.request_review().await,
            GithubOperation::PrActivity => self.pr_activity().await,
            GithubOperation::CreateBranch => self.create_branch().await,
            GithubOperation::DeleteBranch => self.delete_branch().await,
        }?;
        let mut outputs: IndexMap<String, Value> = IndexMap::new();
        let status = if self.nothing_new(&given) { 304 } else { 200 };
        outputs.insert("status".to_owned(), Value::from(status));
        outputs.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if serde_json::to_writer(Room(LARGEST), &outputs).is_err() {
            let message = format!("the outputs would have more than {} MiB: ask for less at once", LARGEST >> 20);
            return Err(Failed::new(Kind::Incomplete, message));
        }
        Ok(Done { status, outputs })
    }
}
