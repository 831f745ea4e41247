//! The embedded ant's line to its queen: function calls.

use std::io;
use std::path::Path;
use std::time::Duration;

use atta_core::protocol::ant::{Heartbeat, JOB_DAMAGED, LogChunk, Orders, PollRequest, ReportBatch, STALE_TOKEN};
use atta_core::protocol::{AntId, Digest};
use atta_server::artifacts::ArtifactError;
use atta_server::logs::LogError;
use atta_server::scheduler::Refusal;
use atta_server::{AntLine, LineError, Server};
use atta_worker::{LinkError, QueenLink};
use rustix::io::Errno;

/// A line that cannot be cut.
pub(crate) struct EmbeddedLink {
    ant: AntId,
    line: AntLine,
}

impl EmbeddedLink {
    /// From this ant to this server.
    pub(crate) fn new(ant: AntId, server: &Server) -> Self {
        Self { ant, line: server.ant_line() }
    }
}

#[async_trait::async_trait]
impl QueenLink for EmbeddedLink {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        self.line.poll(request, wait).await.map_err(refused)
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        self.line.report(batch).await.map_err(refused)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError> {
        self.line.heartbeat(heartbeat).await.map_err(refused)
    }

    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError> {
        self.line.append_log(&self.ant, chunk).await.map_err(refused)
    }

    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        self.line.put_blob(digest, size, file).await.map_err(|error| blob(digest, error))
    }

    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        self.line.get_blob(digest, to).await.map_err(|error| blob(digest, error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn refused(error: LineError) -> LinkError {
    match &error {
        // A full disk may have space again; the ant says the chunk once more.
        LineError::Log(LogError::Write { .. } | LogError::Read { .. })
        | LineError::Refused(Refusal::Unavailable { .. }) => LinkError::Unreachable(error.to_string()),
        LineError::Refused(Refusal::Conflict { code: STALE_TOKEN, .. }) => LinkError::Stale(error.to_string()),
        LineError::Refused(Refusal::Conflict { code: JOB_DAMAGED, .. }) => LinkError::NotNow(error.to_string()),
        _ => LinkError::Refused(error.to_string()),
    }
}

/// Whether it is about the file that was named: then it will not be otherwise the next time. Everything else (a full disk,
/// no descriptors, no memory, a disk that fails) is about the machine, and may pass.
fn is_about_the_file(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    matches!(
        error.kind(),
        NotFound | PermissionDenied | InvalidInput | InvalidFilename | AlreadyExists | IsADirectory | NotADirectory
    ) || matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO)) // a link, a socket
}

fn blob(digest: &Digest, error: LineError) -> LinkError {
    let detail = match error {
        // As above: an end that waits is better than one without its artifacts.
        LineError::Artifact(ArtifactError::Io { ref source, .. }) if !is_about_the_file(source) => {
            return LinkError::Unreachable(error.to_string());
        }
        LineError::Artifact(ArtifactError::Io { action, source, .. }) => format!("it cannot be {action}: {source}"),
        LineError::Artifact(ArtifactError::Mismatch { detail, .. }) => detail,
        other => other.to_string(),
    };
    LinkError::Blob { digest: digest.clone(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_said_again_and_what_is_wrong_is_not() {
        let said = |action, source: io::Error| {
            let digest = Digest("0".repeat(64));
            let error = ArtifactError::Io { digest: digest.clone(), action, source };
            blob(&digest, LineError::Artifact(error))
        };
        let passing = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM];
        for (action, errno) in ["stored", "read"].into_iter().flat_map(|action| passing.map(|errno| (action, errno))) {
            let again = said(action, errno.into());
            let sentence = format!("cannot be {action}");
            assert!(matches!(&again, LinkError::Unreachable(detail) if detail.contains(&sentence)), "{errno}: {again}");
        }
        let wrong = [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::INVAL,
            Errno::NAMETOOLONG,
            Errno::EXIST,
            Errno::NOTDIR,
            Errno::LOOP,
            Errno::NXIO,
        ];
        for errno in wrong {
            let wrong = said("stored", errno.into());
            assert!(matches!(&wrong, LinkError::Blob { .. }), "{errno}: {wrong}");
        }
        let wrong = said("stored", io::ErrorKind::PermissionDenied.into());
        assert!(matches!(&wrong, LinkError::Blob { detail, .. } if detail.contains("permission denied")), "{wrong}");
    }
}
