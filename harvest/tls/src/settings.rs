//! TLS for every verify mode over rustls and ring; it does not know the wire protocol of any server.

use std::sync::Arc;

use harvest::{ConnectParams, HarvestCode, HarvestError, HarvestResult, TlsMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// The settings for `params.tls`; `None` when TLS is disabled.
///
/// # Errors
/// `FAILED_PRECONDITION` for a certificate, key or authority that cannot be read or used.
pub fn config(params: &ConnectParams) -> HarvestResult<Option<Arc<ClientConfig>>> {
    if params.tls == TlsMode::Disabled {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| settings(&format!("TLS cannot be set up: {e}")))?;
    let builder = match params.tls {
        TlsMode::VerifyIdentity => builder.with_root_certificates(roots(params)?),
        TlsMode::VerifyCa => {
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots(params)?), Arc::clone(&provider))
                    .build()
                    .map_err(|e| settings(&format!("no usable certificate authority: {e}")))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(ChainOnly { inner }))
        }
        TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked { provider }))
        }
    };
    let config = match (&params.tls_cert_file, &params.tls_key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|e| settings(&format!("client key cannot be read: {e}")))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| settings(&format!("client certificate is refused: {e}")))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(settings("a client certificate needs both its file and its key file")),
    };
    Ok(Some(Arc::new(config)))
}

fn roots(params: &ConnectParams) -> HarvestResult<RootCertStore> {
    let mut store = RootCertStore::empty();
    match &params.tls_ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                store
                    .add(certificate)
                    .map_err(|e| settings(&format!("certificate authority is refused: {e}")))?;
            }
        }
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(store)
}

fn certificates(file: &str) -> HarvestResult<Vec<CertificateDer<'static>>> {
    let list: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| settings(&format!("certificate file cannot be read: {e}")))?;
    if list.is_empty() { Err(settings("certificate file holds no certificate")) } else { Ok(list) }
}

fn settings(message: &str) -> HarvestError {
    HarvestError::new(HarvestCode::FailedPrecondition, message)
}

/// Checks the chain and leaves the name alone, as `verify_ca` promises.
#[derive(Debug)]
struct ChainOnly {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Encrypts without asking who answers, as `preferred` and `required` promise.
#[derive(Debug)]
struct Unchecked {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
