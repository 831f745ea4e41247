//! The server under measurement: a child of this process with a data directory of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running `atta serve`.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    /// From the start of the process to the first 200 of `/health/ready`.
    pub(crate) ready_after: Duration,
    directory: Option<TempDir>,
}

const START_LIMIT: Duration = Duration::from_secs(30);
const JOB_LIMIT: Duration = Duration::from_mins(10);

/// What a server that stands by says, in the directory of the active one.
const STAND_BY_OUTPUT: &str = "output-of-stand-by";

impl Server {
    /// Starts a server on a free port and waits until it is ready.
    pub(crate) async fn start(atta: &Path) -> anyhow::Result<Self> {
        Self::start_with(atta, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn start_with(atta: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(atta, arguments, TempDir::with_prefix("atta-bench-")?).await
    }

    async fn start_in(atta: &Path, arguments: &[&str], directory: TempDir) -> anyhow::Result<Self> {
        let output = directory.path().join("output");
        let start = Instant::now();
        let child = spawn(atta, "127.0.0.1:0", &directory.path().join("data"), arguments, &output)?;
        let mut server = Self {
            child,
            client: reqwest::Client::builder().no_proxy().build()?,
            url: String::new(),
            ready_after: Duration::ZERO,
            directory: Some(directory),
        };
        while !server.is_ready(&output).await {
            server.check(&output, start)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = start.elapsed();
        Ok(server)
    }

    /// Whether it still runs, and has not been waited for too long.
    fn check(&mut self, output: &Path, since: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended ({status}): {}", std::fs::read_to_string(output)?);
        }
        ensure!(since.elapsed() < START_LIMIT, "the server is not ready: {}", std::fs::read_to_string(output)?);
        Ok(())
    }

    async fn is_ready(&mut self, output: &PathBuf) -> bool {
        if self.url.is_empty() {
            let text = std::fs::read_to_string(output).unwrap_or_default();
            match announced_url(&text) {
                Some(url) => url.clone_into(&mut self.url),
                None => return false,
            }
        }
        let answer = self.client.get(format!("{}/health/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Kills the server's process, and only that, and starts another one in its place.
    pub(crate) async fn killed_and_started(mut self, atta: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        self.child.kill().await?;
        let directory = self.directory.take().context("the server has no directory")?;
        Self::start_in(atta, arguments, directory).await
    }

    /// A second server on the database and the data directory of this one, as soon as it stands by.
    pub(crate) async fn stand_by(&self, atta: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let output = self.path()?.join(STAND_BY_OUTPUT);
        // As long as it stands by it does not say where it listens.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let start = Instant::now();
        let mut second = Self {
            child: spawn(atta, &address, &self.path()?.join("data"), arguments, &output)?,
            client: self.client.clone(),
            url: format!("http://{address}"),
            ready_after: Duration::ZERO,
            directory: None,
        };
        while !second.stands_by().await {
            second.check(&output, start)?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(second)
    }

    async fn stands_by(&self) -> bool {
        let Ok(answer) = self.client.get(format!("{}/health/ready", self.url)).send().await else { return false };
        answer.text().await.is_ok_and(|text| text.contains("\"standby\""))
    }

    /// Kills the server's process, and only that, and waits until the one that stands by is ready in its place.
    pub(crate) async fn killed_before(mut self, mut second: Self) -> anyhow::Result<Self> {
        let start = Instant::now();
        self.child.kill().await?;
        second.directory = self.directory.take();
        let output = second.path()?.join(STAND_BY_OUTPUT);
        while !second.is_ready(&output).await {
            second.check(&output, start)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(second)
    }

    /// The directory of the measurement.
    pub(crate) fn path(&self) -> anyhow::Result<&Path> {
        Ok(self.directory.as_ref().context("the server has no directory")?.path())
    }

    /// A document of the API.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    /// A counter or gauge of `/metrics`, its labels summed up.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.client.get(format!("{}/metrics", self.url)).send().await?.error_for_status()?.text().await?;
        let samples =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        let mut sum = None;
        for sample in samples {
            let value: f64 = sample.rsplit(' ').next().unwrap_or_default().parse()?;
            sum = Some(sum.unwrap_or(0.0) + value);
        }
        sum.with_context(|| format!("the server has no metric {name}"))
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Stores a definition.
    pub(crate) async fn define(&self, yaml: String) -> anyhow::Result<()> {
        let answer = self
            .client
            .post(format!("{}/api/jobs/definitions", self.url))
            .header("content-type", "application/yaml")
            .body(yaml)
            .send()
            .await?;
        let status = answer.status();
        ensure!(status.is_success(), "the definition was refused ({status}): {}", answer.text().await?);
        Ok(())
    }

    /// Submits a job and returns its id.
    pub(crate) async fn submit(&self, job_type: &str) -> anyhow::Result<String> {
        let answer = self
            .client
            .post(format!("{}/api/jobs/requests", self.url))
            .json(&json!({"job_type": job_type}))
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.as_u16() == 202, "the job was refused ({status}): {text}");
        let body: Value = serde_json::from_str(&text)?;
        Ok(body["job_id"].as_str().context("the answer has no job_id")?.to_owned())
    }

    /// The newest jobs, without their tasks.
    pub(crate) async fn jobs(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let page = self.get(&format!("/api/v1/jobs?{query}")).await?;
        Ok(page["items"].as_array().context("the page has no items")?.clone())
    }

    /// Waits until a job has ended and returns its row; asks rarely and cheaply, the times come from the server.
    pub(crate) async fn finished(&self, job_id: &str) -> anyhow::Result<Value> {
        let start = Instant::now();
        loop {
            let jobs = self.jobs("limit=10").await?;
            let job = jobs.into_iter().find(|job| job["job_id"] == job_id).context("the job is gone")?;
            match job["state"].as_str() {
                Some("COMPLETED") => return Ok(job),
                Some("FAILED" | "BLOCKED" | "CANCELLED" | "SKIPPED") => bail!("the job did not complete: {job}"),
                _ => ensure!(start.elapsed() < JOB_LIMIT, "the job does not end: {job}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the server in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.pid()?.to_string();
        let signalled = Command::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(signalled.success(), "cannot signal the server");
        if tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await.is_err() {
            eprintln!("the server did not end within 20 s of SIGTERM");
            self.child.kill().await?;
        }
        if let Some(directory) = self.directory.take() {
            directory.close()?;
        }
        Ok(())
    }
}

/// Starts the process of a server; what it says goes into a file.
fn spawn(atta: &Path, listen: &str, data: &Path, arguments: &[&str], output: &Path) -> anyhow::Result<Child> {
    let file = std::fs::File::create(output)?;
    Command::new(atta)
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(data)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", atta.display()))
}

/// The URL that the server says it listens on.
fn announced_url(text: &str) -> Option<&str> {
    let start = text.find("http://127.0.0.1:")?;
    let url = text[start..].split(|c: char| c.is_whitespace() || c == '"' || c == '\u{1b}').next()?;
    let url = url.trim_end_matches(['/', '.', ',']);
    // A line that is still being written has no end yet.
    (text.len() > start + url.len() && !url.ends_with(":0")).then_some(url)
}

/// Seconds from one RFC 3339 instant to another.
pub(crate) fn seconds_between(job: &Value, from: &str, to: &str) -> anyhow::Result<f64> {
    let instant = |name: &str| -> anyhow::Result<jiff::Timestamp> {
        Ok(job[name].as_str().with_context(|| format!("the job has no {name}"))?.parse()?)
    };
    Ok(instant(to)?.duration_since(instant(from)?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::announced_url;

    #[test]
    fn the_announced_url_is_found_once_its_line_is_complete() {
        assert_eq!(announced_url("atta listens on http://127.0.0.1:4711\n"), Some("http://127.0.0.1:4711"));
        assert_eq!(announced_url("{\"url\":\"http://127.0.0.1:4711/\"}"), Some("http://127.0.0.1:4711"));
        assert_eq!(announced_url("atta listens on http://127.0.0.1:47"), None);
        assert_eq!(announced_url("starting"), None);
    }
}
