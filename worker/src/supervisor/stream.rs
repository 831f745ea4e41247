//! The ant's end of the line to a shim.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::io::{AsyncRead, AsyncWrite};

/// What comes from a shim.
pub(crate) type FromShimHalf = Box<dyn AsyncRead + Send + Sync + Unpin>;
/// What goes to a shim.
pub(crate) type ToShimHalf = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// See the module.
pub(crate) enum ShimStream {
    /// To a process.
    Socket(UnixStream),
    /// To a simulated one.
    #[cfg(feature = "simulation")]
    Simulated(tokio::io::DuplexStream),
}

impl ShimStream {
    /// Both directions, for the runtime that this is called in.
    pub(crate) fn into_halves(self) -> io::Result<(FromShimHalf, ToShimHalf)> {
        match self {
            Self::Socket(stream) => {
                stream.set_nonblocking(true)?;
                let (reader, writer) = tokio::net::UnixStream::from_std(stream)?.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
            #[cfg(feature = "simulation")]
            Self::Simulated(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                Ok((Box::new(reader), Box::new(writer)))
            }
        }
    }
}
