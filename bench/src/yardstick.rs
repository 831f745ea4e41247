//! The same work without Atta.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

/// Seconds that `xargs -P parallel -n 1 sh -c true` takes for `count` processes.
pub(crate) fn xargs(count: usize, parallel: usize) -> anyhow::Result<f64> {
    let input = tempfile::NamedTempFile::new()?;
    std::fs::write(input.path(), "0\n".repeat(count))?;
    let start = Instant::now();
    let status = Command::new("xargs")
        .args(["-P", &parallel.to_string(), "-n", "1", "sh", "-c", "true"])
        .stdin(Stdio::from(std::fs::File::open(input.path())?))
        .stdout(Stdio::null())
        .status()
        .context("xargs is needed as the yardstick")?;
    ensure!(status.success(), "xargs failed: {status}");
    Ok(start.elapsed().as_secs_f64())
}
