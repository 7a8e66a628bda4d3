//! Certificates for the listener: files that may change, or one made here; it does not know connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::server::ServerError;

/// How often changed files are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the listener shows and asks of clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsConfig {
    /// PEM file with the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
    /// PEM file with the authorities of client certificates; set means that clients need one.
    pub client_ca_file: Option<PathBuf>,
    /// Whether TLS 1.2 is refused.
    pub tls13_only: bool,
}

impl TlsConfig {
    /// A certificate and its key; clients need none, TLS 1.2 is accepted.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            tls13_only: false,
        }
    }

    /// A self-signed certificate kept in `folder` as `mcp-cert.pem` and `mcp-key.pem`, made now if it is not there yet.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn self_signed(folder: &Path, host_names: &[String]) -> Result<Self, ServerError> {
        let config = Self::new(folder.join("mcp-cert.pem"), folder.join("mcp-key.pem"));
        if !config.cert_file.exists() || !config.key_file.exists() {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            names.extend(host_names.iter().cloned());
            let made =
                rcgen::generate_simple_self_signed(names).map_err(|e| ServerError::Tls(e.to_string()))?;
            write_private(&config.key_file, &pem("PRIVATE KEY", &made.signing_key.serialize_der()))?;
            std::fs::write(&config.cert_file, pem("CERTIFICATE", made.cert.der()))
                .map_err(|e| ServerError::io(format!("cannot write {}", config.cert_file.display()), e))?;
        }
        Ok(config)
    }
}

/// The textual form of RFC 7468: base64 in lines of 64 characters between labels.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        text.push_str(&data_encoding::BASE64.encode(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Writes a key that only its owner may read.
fn write_private(path: &Path, text: &str) -> Result<(), ServerError> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| ServerError::io(format!("cannot write {}", path.display()), e))
}

struct Loaded {
    acceptor: TlsAcceptor,
    stamp: Option<(SystemTime, SystemTime)>,
    looked: Instant,
}

/// A loaded TLS configuration; changed files are taken into use without a restart.
pub struct Tls {
    config: TlsConfig,
    loaded: Mutex<Loaded>,
}

impl Tls {
    /// Loads the files of a configuration.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(config: TlsConfig) -> Result<Self, ServerError> {
        let acceptor = acceptor(&config)?;
        let loaded = Loaded { acceptor, stamp: stamp(&config), looked: Instant::now() };
        Ok(Self { config, loaded: Mutex::new(loaded) })
    }

    /// The acceptor for the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.elapsed() >= LOOK_EVERY {
            loaded.looked = Instant::now();
            let now = stamp(&self.config);
            if now.is_some() && now != loaded.stamp {
                match acceptor(&self.config) {
                    Ok(fresh) => {
                        loaded.acceptor = fresh;
                        loaded.stamp = now;
                        tracing::info!("took a changed certificate into use");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a changed certificate cannot be used, the old one stays")
                    }
                }
            }
        }
        loaded.acceptor.clone()
    }
}

fn stamp(config: &TlsConfig) -> Option<(SystemTime, SystemTime)> {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    Some((modified(&config.cert_file)?, modified(&config.key_file)?))
}

fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, ServerError> {
    let tls = |what: &str, error: &dyn std::fmt::Display| ServerError::Tls(format!("{what}: {error}"));
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|e| tls(&format!("cannot read {}", config.key_file.display()), &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] =
        if config.tls13_only { &[&rustls::version::TLS13] } else { rustls::DEFAULT_VERSIONS };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|e| tls("versions", &e))?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|e| tls("client authority", &e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| tls("client authority", &e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|e| tls("certificate and key", &e))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let unreadable =
        |e: rustls::pki_types::pem::Error| ServerError::Tls(format!("cannot read {}: {e}", path.display()));
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        Err(ServerError::Tls(format!("{} holds no certificate", path.display())))
    } else {
        Ok(chain)
    }
}
