//! Tokens of a data directory that no server has open: how the first one is made.

use std::path::Path;
use std::sync::Arc;

use atta_core::protocol::access::{NewToken, TokenRequest, TokenResource};
use atta_core::time::{Clock, Entropy};

use super::{Tokens, table};
use crate::scheduler::{Refusal, tokens};
use crate::store::{Changes, Database, OpenError, Store, StoreError, StoreWriter, TokenRow};

/// Why tokens cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The data directory cannot be opened, e.g. because a server has it open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was asked for is not possible.
    #[error("{0}")]
    Refused(Refusal),
    /// The database does not take or give it.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// The tokens of a data directory, which is locked meanwhile.
pub struct OfflineTokens {
    store: Store,
    database: StoreWriter,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl OfflineTokens {
    /// Opens the directory, which is created when absent.
    pub async fn open(
        data_dir: &Path,
        database: &Database,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OfflineError> {
        if let Database::Postgres(url) = database
            && url.ask().await?.active
        {
            let detail = "it is in use by a server".to_owned();
            return Err(OpenError::Database { file: url.to_string(), detail }.into());
        }
        let (store, mut database) = Store::open_in(data_dir, database, clock.now(), None).await?;
        let tokens = Tokens::new(database.load_tokens().await?);
        Ok(Self { store, database, tokens, clock, entropy })
    }

    /// Makes a token.
    pub async fn create(&mut self, request: TokenRequest, created_by: &str) -> Result<NewToken, OfflineError> {
        let now = self.clock.now();
        let made = tokens::make(request, created_by, now, &*self.entropy);
        let (row, value) = made.map_err(OfflineError::Refused)?;
        tokens::check_name(&self.tokens, &row.name, now).map_err(OfflineError::Refused)?;
        let token = table::shown(&row, now);
        self.write(row).await?;
        Ok(NewToken { value, token })
    }

    /// All tokens.
    pub fn list(&self) -> Vec<TokenResource> {
        self.tokens.list("", u32::MAX, self.clock.now())
    }

    /// Revokes a token by its id, or by its name while it is good.
    pub async fn revoke(&mut self, name_or_id: &str) -> Result<TokenResource, OfflineError> {
        let now = self.clock.now();
        let mut row = tokens::find(&self.tokens, name_or_id, now).map_err(OfflineError::Refused)?;
        row.revoked_at.get_or_insert(now);
        let shown = table::shown(&row, now);
        self.write(row).await?;
        Ok(shown)
    }

    async fn write(&mut self, row: TokenRow) -> Result<(), OfflineError> {
        self.database.write(&Changes { tokens: vec![&row], ..Changes::default() }).await?;
        self.tokens.put(row);
        Ok(())
    }

    /// Closes the database.
    pub async fn close(self) -> Result<(), OfflineError> {
        self.store.close().await;
        self.database.close().await?;
        Ok(())
    }
}
