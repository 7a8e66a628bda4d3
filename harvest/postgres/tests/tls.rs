//! Every TLS mode against servers that the tests start: own authority, wrong name, self-signed, no TLS at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use harvest::{ConnectParams, Driver, HarvestCode, Secret, TlsMode};
use harvest_postgres::PostgresDriver;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const MODES: [TlsMode; 4] =
    [TlsMode::Preferred, TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity];
const PASSWORD: &str = "not-for-the-open";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("signs");
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, issuer.pem()).expect("writes");
        Self { issuer, _folder: folder, file }
    }

    /// A server's settings with a certificate for `name`, signed by this authority.
    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        settings(certificate.der().clone(), &key)
    }
}

fn self_signed(name: &str) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
    settings(params.self_signed(&key).expect("signs").der().clone(), &key)
}

fn settings(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("certificate");
    Arc::new(config)
}

/// Answers one connection: TLS or a refusal of it, then "no such account". Gives what the client sent in the open.
fn serve(config: Option<Arc<ServerConfig>>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("accepts");
        let mut request = [0; 8];
        socket.read_exact(&mut request).expect("asks for TLS");
        let mut open = request.to_vec();
        match config {
            None => {
                socket.write_all(b"N").expect("refuses");
                let mut rest = [0; 1_024];
                let count = socket.read(&mut rest).unwrap_or_default();
                open.extend_from_slice(&rest[..count]);
                if count > 0 {
                    refuse(&mut socket);
                }
            }
            Some(config) => {
                socket.write_all(b"S").expect("agrees");
                let session = ServerConnection::new(config).expect("session");
                let mut stream = StreamOwned::new(session, socket);
                if stream.read(&mut [0; 1_024]).is_ok_and(|count| count > 0) {
                    refuse(&mut stream);
                }
            }
        }
        open
    });
    (port, thread)
}

fn refuse(stream: &mut impl Write) {
    let fields = b"SFATAL\0C28P01\0Mno\0\0";
    let mut frame = vec![b'E'];
    frame.extend_from_slice(&u32::try_from(fields.len() + 4).expect("short").to_be_bytes());
    frame.extend_from_slice(fields);
    let _ = stream.write_all(&frame);
    let _ = stream.flush();
}

/// Connects; `true` if the conversation got as far as the account, which means that TLS was fine.
fn reaches(config: Option<Arc<ServerConfig>>, host: &str, tls: TlsMode, ca: Option<&PathBuf>) -> bool {
    let (port, thread) = serve(config);
    let mut params = ConnectParams::new(host);
    (params.port, params.user, params.tls) = (port, "reader".to_owned(), tls);
    params.password = Secret::new(PASSWORD);
    params.tls_ca_file = ca.map(|file| file.display().to_string());
    let error = PostgresDriver.connect(&params).err().expect("no account exists");
    let open = thread.join().expect("serves");
    assert!(!String::from_utf8_lossy(&open).contains(PASSWORD), "{tls:?}: the password went in the open");
    match error.code {
        HarvestCode::PermissionDenied => true,
        HarvestCode::Unavailable => false,
        other => panic!("{tls:?}: {other:?}: {error}"),
    }
}

#[test]
fn each_mode_verifies_what_it_promises() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for tls in MODES {
        let at = |config, ca| reaches(Some(config), "localhost", tls, ca);
        let verifies = tls >= TlsMode::VerifyCa;
        assert!(at(ours.server("localhost"), Some(&ours.file)), "{tls:?}: all is well");
        let name_matters = tls == TlsMode::VerifyIdentity;
        assert_eq!(at(ours.server("other.example"), Some(&ours.file)), !name_matters, "{tls:?}: wrong name");
        assert_eq!(at(theirs.server("localhost"), Some(&ours.file)), !verifies, "{tls:?}: other authority");
        assert_eq!(at(self_signed("localhost"), Some(&ours.file)), !verifies, "{tls:?}: self-signed");
        assert_eq!(at(ours.server("localhost"), None), !verifies, "{tls:?}: public authorities only");
    }
}

#[test]
fn an_address_is_a_name_that_is_verified_too() {
    let ours = Authority::new();
    let at =
        |name: &str| reaches(Some(ours.server(name)), "127.0.0.1", TlsMode::VerifyIdentity, Some(&ours.file));
    assert!(at("127.0.0.1"));
    assert!(!at("127.0.0.2"));
}

#[test]
fn a_server_without_tls_is_taken_by_lax_modes_only() {
    let ours = Authority::new();
    for tls in MODES {
        assert_eq!(reaches(None, "localhost", tls, Some(&ours.file)), tls == TlsMode::Preferred, "{tls:?}");
    }
}

#[test]
fn a_missing_or_empty_authority_file_is_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("writes");
    for file in [folder.path().join("none.pem"), empty] {
        let mut params = ConnectParams::new("localhost");
        (params.port, params.tls) = (1, TlsMode::VerifyCa);
        params.tls_ca_file = Some(file.display().to_string());
        let error = PostgresDriver.connect(&params).err().expect("refuses");
        assert_eq!(error.code, HarvestCode::FailedPrecondition, "{error}");
    }
}

/// A server that talks of an account before the client has asked for TLS must not be believed.
#[test]
fn words_in_front_of_tls_are_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    let thread = std::thread::spawn(move || {
        let (mut socket, _): (TcpStream, _) = listener.accept().expect("accepts");
        socket.read_exact(&mut [0; 8]).expect("asks for TLS");
        // Agrees, and goes on in the open as if the session were there already.
        let _ = socket.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
        let _ = socket.read(&mut [0; 1_024]);
    });
    let mut params = ConnectParams::new("localhost");
    (params.port, params.tls) = (port, TlsMode::Required);
    let error = PostgresDriver.connect(&params).err().expect("does not believe");
    assert_eq!(error.code, HarvestCode::Unavailable, "{error}");
    thread.join().expect("serves");
}
