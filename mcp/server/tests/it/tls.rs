//! TLS: the self-signed certificate, and that plain text is not served.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use mcp::Scope;
use mcp_server::{ServerConfig, Tls, TlsConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;

use crate::client::{Ask, connect};
use crate::world::{PATH, World};

#[test]
fn a_self_signed_certificate_is_made_once_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = TlsConfig::self_signed(folder.path(), &["db.example".into()]).unwrap();
    let made = std::fs::read(&config.cert_file).unwrap();
    let again = TlsConfig::self_signed(folder.path(), &[]).unwrap();
    assert_eq!(std::fs::read(&again.cert_file).unwrap(), made);
    let tls = Tls::load(config.clone()).unwrap();
    let world = World::with(ServerConfig::default(), |b| b.anonymous(Scope::Full).tls(tls));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&config.cert_file).unwrap()).unwrap();
    let answer = exchange(&world, &roots, None);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let mut plain = connect(world.address);
    plain.write_all(Ask::modern(world.address, PATH, "tools/list", json!({})).head().as_bytes()).unwrap();
    plain.write_all(b"\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"));
}

#[test]
fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = TlsConfig::new(folder.path().join("a.pem"), folder.path().join("b.pem"));
    let error = Tls::load(missing).err().unwrap().to_string();
    assert!(error.contains("a.pem"), "{error}");
}

/// A TLS exchange of one request; the answer, or why there is none.
fn exchange(
    world: &World,
    roots: &rustls::RootCertStore,
    identity: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>,
) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone());
    let client = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key =
                rustls::pki_types::PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![identity.cert.der().clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut socket = connect(world.address);
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let ask = Ask::modern(world.address, PATH, "tools/list", json!({})).with("Connection", "close");
    let head = format!("{}Content-Length: {}\r\n\r\n", ask.head(), ask.body.len());
    let mut answer = String::new();
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&ask.body));
    match sent.and_then(|()| stream.read_to_string(&mut answer)) {
        Err(error) if answer.is_empty() => error.to_string(),
        _ => answer,
    }
}

#[test]
fn clients_need_a_certificate_of_the_authority_where_one_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TlsConfig::self_signed(folder.path(), &[]).unwrap();
    // A self-signed client certificate is its own authority.
    let known = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, known.cert.pem()).unwrap();
    config.client_ca_file = Some(authority);
    config.tls13_only = true;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&config.cert_file).unwrap()).unwrap();
    let tls = Tls::load(config).unwrap();
    let world = World::with(ServerConfig::default(), |b| b.anonymous(Scope::Full).tls(tls));
    let known = exchange(&world, &roots, Some(&known));
    assert!(known.starts_with("HTTP/1.1 200"), "{known}");
    for identity in [None, Some(&stranger)] {
        let refused = exchange(&world, &roots, identity);
        assert!(!refused.starts_with("HTTP"), "{refused}");
    }
}
