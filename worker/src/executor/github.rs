//! `GITHUB`: one operation; its result is a status, its outputs are what the operation promises.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::ArtifactsWhen;
use atta_core::engine::{AttemptResult, Failure, ResultName};
use atta_core::protocol::ant::{Action, ArtifactRules, Assignment, AttemptReport, ReportBody};
use atta_core::protocol::github::{GithubCredential, GithubOrder};
use atta_github::{Done, Failed, Gate, Session};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use url::Url;

use super::Finished;
use super::attempt::{Attempt, Interruption, blocking, invalid, make_directory, start_failed};
use super::exchange;
use super::guard::Guard;
use super::http::filled;
use super::phrase::failure;
use crate::ant::{Core, Order};

/// Where the outputs are kept as a document, relative to TASK_DIR.
const RESULT: &str = "github/result.json";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    let mut attempt = Attempt::new(core, assignment, orders);
    let ended = attempt.run_github().await;
    attempt.finished(ended)
}

impl Gate for Guard {
    fn check(&self, url: &Url) -> Result<(), String> {
        self.check_url(url).map_err(|refused| refused.to_string())
    }

    fn refused(&self, error: &reqwest::Error) -> Option<String> {
        Self::refusal(error).map(ToString::to_string)
    }
}

/// How it ended: what it gave, or the result with its reason.
type Ended = Result<Done, (AttemptResult, Failure, Option<Duration>)>;

impl Attempt {
    /// Nothing marks the attempt as begun: should the ant die, it is simply made again.
    async fn run_github(&mut self) -> Result<AttemptReport, Interruption> {
        let Action::Github(order) = self.assignment.action.clone() else {
            return Err(invalid("this is nothing for GitHub"));
        };
        let environment = self.compose()?;
        let (key, parts) = match &order.credential {
            GithubCredential::Token(parts) => ("github.token", parts),
            GithubCredential::App { private_key, .. } => ("github.app.private_key", private_key),
        };
        let secret = filled(key, parts, &environment).map_err(invalid)?;
        let guard = Guard::new(&self.core.config.http, &order.allow, order.allow_private).map_err(invalid)?;
        let (core, id) = (self.core.clone(), self.assignment.attempt_id.clone());
        let directory = blocking(move || make_directory(&core, &id)).await?;
        self.check_orders()?;
        let client_guard = guard.clone();
        let client =
            blocking(move || exchange::client(&client_guard, CONNECT_TIMEOUT, None).map_err(start_failed)).await?;
        let started = ReportBody::Started { isolation: "none".to_owned() };
        self.core.report(&self.assignment.attempt_id, self.assignment.token, 1, started);

        let ended = self.perform(client, &guard, &order, &secret).await?;
        let mut problems = Vec::new();
        let (result, end, mut outputs, retry_after) = match ended {
            Ok(done) => (AttemptResult::Http(done.status), None, done.outputs, None),
            Err((result, failure, retry_after)) => {
                self.log.system(&failure.message).await;
                let status = result.exit_code().map(|status| ("status".to_owned(), Value::from(status)));
                // Whoever looks again knows what was told before this failure.
                let cursor = order.settings.get("cursor").filter(|cursor| !cursor.is_null());
                let cursor = cursor.map(|cursor| ("cursor".to_owned(), cursor.clone()));
                (result, Some(failure), status.into_iter().chain(cursor).collect(), retry_after)
            }
        };
        let document = directory.work().join(RESULT);
        let given: Map<String, Value> = outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let file = document.clone();
        blocking(move || {
            write_document(&file, &given)
                .map_err(|error| start_failed(format!("the outputs cannot be stored: {error}")))
        })
        .await?;
        if end.is_none() {
            let declared = self.read_outputs(&directory, Some(&document), &mut problems).await?;
            outputs.extend(declared);
        }
        if self.assignment.artifacts.is_none() {
            let when = ArtifactsWhen::OnSuccess;
            self.assignment.artifacts =
                Some(ArtifactRules { paths: vec![RESULT.to_owned()], exclude: Vec::new(), when });
        }
        let artifacts = self.keep_artifacts(&directory, result, &mut problems).await?;
        let report = self.conclude(result, end, outputs, artifacts, problems)?;
        let failed = !report.result.is_success();
        Ok(AttemptReport { retry_after: retry_after.filter(|_| failed), ..report })
    }

    /// The operation within its timeout, as long as nobody stops it; what it says goes to the log meanwhile.
    async fn perform(
        &mut self,
        client: reqwest::Client,
        guard: &Guard,
        order: &GithubOrder,
        secret: &str,
    ) -> Result<Ended, Interruption> {
        let (lines, to_log) = mpsc::unbounded_channel();
        let core = self.core.clone();
        let operation = async move {
            // Nobody hears an attempt that is to be forgotten.
            let say = move |line: String| drop(lines.send(line));
            let session = match Session::new(&core.github, client, guard, order, secret, &say) {
                Ok(session) => session,
                Err(failed) => return Err(ended(failed)),
            };
            session.perform().await.map_err(ended)
        };
        let ended = self.within_its_time(operation, to_log).await?;
        Ok(ended.unwrap_or_else(|(result, failure)| Err((AttemptResult::Named(result), failure, None))))
    }
}

fn ended(failed: Failed) -> (AttemptResult, Failure, Option<Duration>) {
    let result = failed.status().map_or(AttemptResult::Named(ResultName::Invalid), AttemptResult::Http);
    (result, failure(failed.kind.code(), failed.message), failed.retry_after)
}

fn write_document(file: &Path, document: &Map<String, Value>) -> std::io::Result<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let text = serde_json::to_string_pretty(document).map_err(std::io::Error::other)?;
    std::fs::write(file, text + "\n")
}
