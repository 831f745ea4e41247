//! A server that waits until the active one on its database is gone. Its address answers meanwhile.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::listen::Listening;
use crate::server::{StartError, serve};
use crate::tls::Tls;

/// Answers on an address until it is dropped.
pub(crate) struct Standby {
    _until: DropGuard,
}

/// To be called when the server has to wait.
type Begin = Box<dyn FnOnce() + Send>;

/// What answers meanwhile, what listens afterwards, and how it begins.
type Prepared = (Option<Standby>, Option<TcpListener>, Option<Begin>);

impl Standby {
    /// Prepares to answer on the address of a listener, from when it has to wait and for as long as the value lives. The
    /// listener is given back, for afterwards.
    pub(crate) fn prepare(listener: TcpListener, tls: Option<Tls>, router: Router) -> Result<Prepared, StartError> {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let failed = |source| StartError::Bind { address, source };
        let listener = listener.into_std().map_err(failed)?;
        let own = listener.try_clone().and_then(TcpListener::from_std).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let begin = move || match Listening::new(own, tls.as_ref()) {
            Ok(listening) => drop(tokio::spawn(serve(listening, router, stop))),
            Err(error) => tracing::warn!(%error, "while it stands by, nothing answers at its address"),
        };
        Ok((Some(Self { _until: guard }), Some(listener), Some(Box::new(begin))))
    }
}
