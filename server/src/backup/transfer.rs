//! All rows from one database into another one; logs, artifacts and keys stay where they are.

use std::path::Path;

use atta_core::time::UnixMillis;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{BackupError, Unfinished};
use crate::scheduler::Database;
use crate::store::{Counts, Dump, DumpError, Loader};

/// Which rows go where. No server may be active on either.
#[derive(Debug)]
pub struct TransferRequest<'a> {
    /// The data directory, which goes with the rows.
    pub data_dir: &'a Path,
    /// Where the rows are. They stay there, and are taken for restored if a server starts on them again.
    pub from: &'a Database,
    /// An empty database.
    pub to: &'a Database,
    /// The time.
    pub now: UnixMillis,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransferReport {
    /// Where the rows were.
    pub from: String,
    /// Where they are now.
    pub to: String,
    /// Rows of each table, counted in both.
    pub tables: Counts,
    /// What goes on under the other database.
    pub unfinished: Unfinished,
}

/// Moves all rows, or none.
pub async fn transfer(request: TransferRequest<'_>) -> Result<TransferReport, BackupError> {
    let TransferRequest { data_dir, from: old, to, now } = request;
    let mut dump = Dump::open_alone(data_dir, old).await?;
    let from = dump.name().to_owned();
    // The directory is locked already, unless the rows are to be in it.
    let mut loader = Loader::begin(data_dir, false, to, dump.version(), now).await?;
    let name = loader.name().to_owned();
    let (sender, mut chunks) = mpsc::channel(2);
    let adding = async {
        let mut added = Ok(());
        while let Some(chunk) = chunks.recv().await {
            added = loader.add(&chunk).await;
            if added.is_err() {
                chunks.close();
                break;
            }
        }
        drop(chunks);
        added
    };
    let (sent, added) = tokio::join!(Box::pin(dump.send(sender)), Box::pin(adding));
    let tables = match added.and(sent) {
        Ok(tables) => tables,
        Err(error) => {
            loader.give_up().await;
            return Err(error.into());
        }
    };
    let binding = loader.binding();
    let unfinished = match loader.finish(&tables, None, now).await {
        Err(source @ DumpError::InDoubt { .. }) => {
            let dir = data_dir.display();
            let what = format!(
                "{dir} still goes with {from}: start the server with that as before; or, when {name} is back, empty it \
                 and move again"
            );
            return Err(BackupError::InDoubt { source, what });
        }
        other => other?,
    };
    // First, so that whatever comes in between no two worlds go on. If it fails, the directory's note is in the way.
    if let Err(error) = dump.retire(data_dir, old, now).await {
        tracing::warn!(%error, "the old database does not say that its rows have moved");
    }
    binding.note(data_dir).map_err(|source| BackupError::Mark {
        file: data_dir.join("database.id"),
        what: "remove it, and start no server on the old database any more",
        source,
    })?;
    Ok(TransferReport { from, to: name, tables, unfinished })
}
