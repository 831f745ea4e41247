//! TLS: a certificate that was given, or one of our own that clients know by its fingerprint.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atta_core::protocol::access::Fingerprint;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where a generated certificate and its key are kept.
pub(crate) const FILE: &str = "tls.pem";

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files.
    Files {
        /// The server's certificate, then those that lead to a known authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// One that is made at the first start and kept in the data directory.
    Generated {
        /// Names and addresses that it is for. Who knows it by its fingerprint does not look at them.
        names: Vec<String>,
    },
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} holds no usable {what}: {detail}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// Certificate and key do not fit.
    #[error("certificate and private key cannot be used together: {0}")]
    Pair(rustls::Error),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be kept.
    #[error("{} cannot be written: {source}", file.display())]
    Keep {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What connections need.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// Of the server's own certificate.
    pub(crate) fingerprint: Fingerprint,
}

pub(crate) fn open(source: &TlsSource, data_dir: &Path) -> Result<Tls, TlsError> {
    match source {
        TlsSource::Files { certificate, key } => read(certificate, key),
        TlsSource::Generated { names } => {
            let file = data_dir.join(FILE);
            if !file.exists() {
                generate(&file, names)?;
            }
            read(&file, &file)
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
    let wrong = |file: &Path, what: &'static str| {
        let file = file.to_owned();
        move |error: rustls::pki_types::pem::Error| TlsError::File { file, what, detail: error.to_string() }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(wrong(certificate, "certificate"))?;
    let Some(own) = chain.first() else {
        let detail = "there is none in it".to_owned();
        return Err(TlsError::File { file: certificate.to_owned(), what: "certificate", detail });
    };
    let fingerprint = Fingerprint::of(own);
    let key = PrivateKeyDer::from_pem_file(key).map_err(wrong(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), fingerprint })
}

/// Makes a certificate, readable by its owner only, whole or not at all.
fn generate(file: &Path, names: &[String]) -> Result<(), TlsError> {
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    let text = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let new = file.with_extension("new");
    let write = || {
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    write().map_err(|source| TlsError::Keep { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_generated_certificate_is_kept_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let source = TlsSource::Generated { names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()] };
        let first = open(&source, dir.path()).unwrap().fingerprint;
        let again = open(&source, dir.path()).unwrap().fingerprint;
        assert_eq!(first, again);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn files_that_hold_nothing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let source = TlsSource::Files { certificate: cert.clone(), key: key.clone() };
        let message = |source: &TlsSource| open(source, dir.path()).err().unwrap().to_string();
        assert!(message(&source).starts_with(&format!("{} holds no usable certificate", cert.display())));
        fs::write(&cert, "").unwrap();
        assert!(message(&source).ends_with("there is none in it"), "{}", message(&source));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, "nothing").unwrap();
        assert!(message(&source).starts_with(&format!("{} holds no usable private key", key.display())));
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(message(&source).starts_with("certificate and private key cannot be used together"));
    }
}
