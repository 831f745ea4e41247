//! Output: how fast it goes through, and what watching it costs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::figure::Reporter;
use crate::server::{Server, seconds_between};
use crate::usage::peak_rss_kib;

const MEGABYTES: u64 = 1_000;
const FOLLOWERS: usize = 200;
const FOLLOWED_MEGABYTES: u64 = 20;
const LIMIT: Duration = Duration::from_mins(5);

/// A command that prints 1 GB, alone; one that prints 20 MB with 200 followers that never read, and with 200 that do.
pub(crate) async fn log_path(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define(prints("bench-log", MEGABYTES)).await?;
    server.define(prints("bench-followed", FOLLOWED_MEGABYTES)).await?;
    let yardstick = to_a_file(MEGABYTES)?;
    let before = peak_rss_kib(server.pid()?)?;
    let job = server.submit("bench-log").await?;
    let row = server.finished(&job).await?;
    let seconds = seconds_between(&row, "created_at", "finished_at")?;
    #[expect(clippy::cast_precision_loss, reason = "1 000 is exact")]
    let megabytes = MEGABYTES as f64;
    reporter.against("log_rate", megabytes / seconds, "MB/s", "the same into a file", megabytes / yardstick, None);
    reporter.figure("log_1GB_more_memory", (peak_rss_kib(server.pid()?)? - before) / 1024.0, "MiB", None);

    let alone = server.submit("bench-followed").await?;
    let alone = seconds_between(&server.finished(&alone).await?, "created_at", "finished_at")?;
    for (reads, name) in [(false, "log_20MB_200_dead_followers"), (true, "log_20MB_200_followers")] {
        let before = peak_rss_kib(server.pid()?)?;
        let job = server.submit("bench-followed").await?;
        let url = format!("{}/api/v1/jobs/{job}/attempts/1/log?follow=true", server.url);
        let (over, wait) = watch::channel(());
        let mut followers = JoinSet::new();
        for _ in 0..FOLLOWERS {
            followers.spawn(follow(server.client.clone(), url.clone(), (!reads).then(|| wait.clone())));
        }
        let watched = seconds_between(&server.finished(&job).await?, "created_at", "finished_at")?;
        reporter.against(name, watched, "s", "the same with none", alone, None);
        drop(over);
        while let Some(done) = followers.join_next().await {
            done??;
        }
        let more = (peak_rss_kib(server.pid()?)? - before) / 1024.0;
        reporter.figure(&format!("{name}_more_memory"), more, "MiB", None);
    }
    server.stop().await
}

const LINE: &str = "the quick brown fox jumps over the lazy dog and prints what it thinks about that";

fn prints(job_type: &str, megabytes: u64) -> String {
    format!(
        "job_type: {job_type}\ntasks:\n  - task_type: print\n    shell: [sh, -eu]\n    script: [\"yes '{LINE}' | head -c {megabytes}000000\"]\n"
    )
}

/// Seconds without Atta.
fn to_a_file(megabytes: u64) -> anyhow::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let start = Instant::now();
    let status = Command::new("sh")
        .args(["-c", &format!("yes '{LINE}' | head -c {megabytes}000000")])
        .stdout(Stdio::from(file.reopen()?))
        .status()?;
    ensure!(status.success(), "the yardstick failed: {status}");
    Ok(start.elapsed().as_secs_f64())
}

/// Follows to the end, or opens the stream and does not read until it may go.
async fn follow(client: reqwest::Client, url: String, dead_until: Option<watch::Receiver<()>>) -> anyhow::Result<()> {
    let start = Instant::now();
    let answer = loop {
        ensure!(start.elapsed() < LIMIT, "there is nothing to follow");
        let answer = client.get(&url).send().await?;
        if answer.status().as_u16() != 404 {
            break answer.error_for_status()?;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    if let Some(mut over) = dead_until {
        // It ends when the sender is dropped.
        let _ = over.changed().await;
        return Ok(());
    }
    let mut body = answer.bytes_stream();
    while let Some(piece) = tokio::time::timeout(LIMIT, body.next()).await.context("the stream is silent")? {
        piece?;
    }
    Ok(())
}
