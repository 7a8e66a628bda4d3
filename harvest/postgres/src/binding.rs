//! Binds SCRAM to a TLS channel by the hash of the server's certificate (`tls-server-end-point`); it checks no certificate.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls_pki_types::CertificateDer;

/// The hash of a certificate that SCRAM is bound to; `None` where its signature names no hash.
pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(digest(hash_of(certificate)?, certificate).as_ref().to_vec())
}

/// The hash that the certificate's signature is made with; MD5 and SHA-1 are replaced as RFC 5929 says.
fn hash_of(der: &[u8]) -> Option<&'static Algorithm> {
    let (certificate, _) = element(der)?;
    let (_, behind_content) = element(certificate)?;
    let (algorithm, _) = element(behind_content)?;
    let (oid, _) = element(algorithm)?;
    Some(match oid {
        // RSA with MD5, SHA-1 or SHA-256; ECDSA with SHA-1 or SHA-256.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2] => &SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 3] => &SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 4] => &SHA512,
        _ => return None,
    })
}

/// Content of the first DER element, and what lies behind the element.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&_tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (bytes, behind) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = behind;
    }
    rest.split_at_checked(length)
}
