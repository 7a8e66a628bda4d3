//! The two directions of a client's or backend's connection, plain or under TLS, and the certificate of the ports; it knows
//! neither wire.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_server::TlsConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What arrives.
pub(crate) enum ReadSide {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

/// What leaves.
pub(crate) enum WriteSide {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl AsyncRead for ReadSide {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(side) => Pin::new(side).poll_read(cx, buf),
            Self::Tls(side) => Pin::new(side).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for WriteSide {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(side) => Pin::new(side).poll_write(cx, buf),
            Self::Tls(side) => Pin::new(side).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(side) => Pin::new(side).poll_flush(cx),
            Self::Tls(side) => Pin::new(side).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(side) => Pin::new(side).poll_shutdown(cx),
            Self::Tls(side) => Pin::new(side).poll_shutdown(cx),
        }
    }
}

/// The two directions of a plain connection.
pub(crate) fn plain(stream: TcpStream) -> (ReadSide, WriteSide) {
    // A lost request for speed is no reason to fail.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    (ReadSide::Plain(read), WriteSide::Plain(write))
}

/// Goes on under TLS. The caller has made sure that nothing was read beyond the request for it: what came before the
/// handshake was sent by anybody.
pub(crate) async fn secure(
    read: ReadSide,
    write: WriteSide,
    acceptor: &TlsAcceptor,
) -> io::Result<(ReadSide, WriteSide)> {
    let (ReadSide::Plain(read), WriteSide::Plain(write)) = (read, write) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "TLS inside of TLS"));
    };
    let stream = read.reunite(write).map_err(io::Error::other)?;
    let (read, write) = tokio::io::split(acceptor.accept(stream).await?);
    Ok((ReadSide::Tls(read), WriteSide::Tls(write)))
}

/// What the ports say of TLS.
#[derive(Clone)]
pub(crate) struct PortTls {
    /// `None`: not offered.
    pub(crate) acceptor: Option<TlsAcceptor>,
    /// Whether logins without it are refused.
    pub(crate) required: bool,
}

impl PortTls {
    /// Without TLS.
    pub(crate) fn off() -> Self {
        Self { acceptor: None, required: false }
    }

    /// With a certificate from files, or a self-signed one that is kept in `folder`.
    pub(crate) fn load(
        folder: &Path,
        files: Option<(&Path, &Path)>,
        required: bool,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let files = match files {
            Some((cert, key)) => TlsConfig::new(cert, key),
            None => TlsConfig::self_signed(folder, &[])?,
        };
        let name = |path: &Path, error: String| format!("{}: {error}", path.display());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert_file)
            .and_then(Iterator::collect)
            .map_err(|e| name(&files.cert_file, e.to_string()))?;
        let key = PrivateKeyDer::from_pem_file(&files.key_file)
            .map_err(|e| name(&files.key_file, e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self { acceptor: Some(TlsAcceptor::from(Arc::new(config))), required })
    }
}
