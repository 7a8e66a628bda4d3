//! Makes a throw-away authority and a server certificate for loopback; it knows no server that will use them.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Where the PEM files of one run lie.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Writes `ca.pem`, `server.pem` and `server.key` for `localhost`, `127.0.0.1` and `::1` into a folder.
    pub(crate) fn write(folder: &Path) -> Result<Self, String> {
        let (authority, certificate, key) = make().map_err(|error| format!("certificates: {error}"))?;
        let files = Self {
            authority: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        for (path, text) in
            [(&files.authority, authority), (&files.certificate, certificate), (&files.key, key)]
        {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        restrict(&files.key)?;
        Ok(files)
    }
}

fn make() -> Result<(String, String, String), rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "penstock test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "penstock test server");
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((authority_pem, certificate.pem(), key.serialize_pem()))
}

/// PostgreSQL refuses a key that others may read.
#[cfg(unix)]
fn restrict(key: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let only_owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(key, only_owner).map_err(|error| format!("{}: {error}", key.display()))
}

#[cfg(not(unix))]
fn restrict(_key: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Certificates;

    #[test]
    fn writes_a_chain_that_rustls_takes() {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
        let folder = tempfile::tempdir().unwrap();
        let files = Certificates::write(folder.path()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.authority).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key);
        assert!(config.is_ok());
    }
}
