//! From a submit to what a viewer sees.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;

use crate::figure::{Reporter, percentile};
use crate::server::Server;

const SAMPLES: usize = 200;
const LIMIT: Duration = Duration::from_secs(10);

/// Submits one-task jobs to an idle server, one at a time, and follows the log of each until its first byte arrives.
pub(crate) async fn latency(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    let yaml = "job_type: bench-echo\ntasks:\n  - task_type: echo\n    shell: [sh, -eu]\n    script: [echo here]\n";
    server.define(yaml.to_owned()).await?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let job = server.submit("bench-echo").await?;
        first_output(&server, &job, start).await?;
        samples.push(start.elapsed().as_secs_f64() * 1000.0);
        server.finished(&job).await?;
    }
    reporter.figure("submit_to_first_output_p50", percentile(&mut samples, 0.5), "ms", None);
    reporter.figure("submit_to_first_output_p99", percentile(&mut samples, 0.99), "ms", Some("<= 50 ms"));
    server.stop().await
}

/// Waits for the first message of the stream of the job's first attempt that carries output.
async fn first_output(server: &Server, job: &str, start: Instant) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/jobs/{job}/attempts/1/log?follow=true", server.url);
    loop {
        ensure!(start.elapsed() < LIMIT, "no output of {job}");
        let answer = server.client.get(&url).send().await?;
        if answer.status().as_u16() == 404 {
            // The attempt does not exist yet.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let mut body = answer.error_for_status()?.bytes_stream();
        let mut text = String::new();
        while let Some(piece) = tokio::time::timeout(LIMIT, body.next()).await.context("the stream is silent")? {
            text.push_str(&String::from_utf8_lossy(&piece?));
            if carries_output(&text) {
                return Ok(());
            }
        }
    }
}

/// Whether a message of the stream has come that holds what the task printed.
fn carries_output(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("data:") && line.contains("here"))
}
