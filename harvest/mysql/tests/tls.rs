//! Every TLS mode against servers that the tests start: own authority, wrong name, self-signed, no TLS at all.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use harvest::{ConnectParams, Driver, HarvestCode, Secret, TlsMode};
use harvest_mysql::MysqlDriver;
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

/// How an account proves itself, as the server asks for it.
#[derive(Clone, Copy, PartialEq)]
enum Proof {
    Native,
    Caching,
}

impl Proof {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::Caching => "caching_sha2_password",
        }
    }
}

fn put(stream: &mut impl Write, number: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], number];
    packet.extend_from_slice(body);
    let _ = stream.write_all(&packet).and_then(|()| stream.flush());
}

fn take(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut body).ok()?;
    Some((head[3], body))
}

fn greeting(with_tls: bool, proof: Proof) -> Vec<u8> {
    let capabilities: u32 = 0x0008_A20D | if with_tls { 0x800 } else { 0 };
    let mut body = b"\x0a8.0.0-test\0\x07\0\0\0abcdefgh\0".to_vec();
    body.extend_from_slice(&capabilities.to_le_bytes()[..2]);
    body.extend_from_slice(&[45, 2, 0]);
    body.extend_from_slice(&capabilities.to_le_bytes()[2..]);
    body.push(21);
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(b"ijklmnopqrst\0");
    body.extend_from_slice(proof.name().as_bytes());
    body.push(0);
    body
}

/// What the client sent in the open, and what behind TLS.
type Heard = (Vec<u8>, Vec<u8>);

/// Answers one connection: greeting, TLS where offered, the whole of caching_sha2_password where that is the proof, then
/// "no such account". Gives what the client sent in the open, and what behind TLS.
fn serve(config: Option<Arc<ServerConfig>>, proof: Proof) -> (u16, JoinHandle<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("accepts");
        put(&mut socket, 0, &greeting(config.is_some(), proof));
        let Some((number, first)) = take(&mut socket) else { return (Vec::new(), Vec::new()) };
        match config {
            Some(config) if first.len() == 32 => {
                let session = ServerConnection::new(config).expect("session");
                let mut stream = StreamOwned::new(session, socket);
                let Some((number, answer)) = take(&mut stream) else { return (first, Vec::new()) };
                let mut said = answer;
                said.extend(judge(&mut stream, number, proof));
                (first, said)
            }
            _ => {
                let mut said = first;
                said.extend(judge(&mut socket, number, proof));
                (said, Vec::new())
            }
        }
    });
    (port, thread)
}

fn judge(stream: &mut (impl Read + Write), number: u8, proof: Proof) -> Vec<u8> {
    let (mut number, mut said) = (number, Vec::new());
    if proof == Proof::Caching {
        // The hash is not known here: the whole proof is asked for.
        put(stream, number + 1, &[1, 4]);
        let Some((next, answer)) = take(stream) else { return said };
        said.extend(&answer);
        number = next;
        if answer == [2] {
            put(stream, number + 1, format!("\x01{PUBLIC_KEY}").as_bytes());
            let Some((next, sealed)) = take(stream) else { return said };
            assert_eq!(sealed.len(), 64, "one block of a key of 512 bits");
            said.extend(sealed);
            number = next;
        }
    }
    put(stream, number + 1, b"\xff\x15\x04#28000Access denied");
    said
}

/// Of a key that nobody keeps.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL8UFsuYhu3T3zajJsSrl8/d2KMP/Hmz\n\
xCjhQ4X/g0ckOBTygsQMT5hAytcob1ngXEvznlbv8NBkV6WChEj12hkCAwEAAQ==\n\
-----END PUBLIC KEY-----\n";

/// Connects; `true` if the conversation got as far as the account, which means that TLS was fine.
fn reaches(config: Option<Arc<ServerConfig>>, host: &str, tls: TlsMode, ca: Option<&PathBuf>) -> bool {
    let (port, thread) = serve(config, Proof::Native);
    let mut params = ConnectParams::new(host);
    (params.port, params.user, params.tls) = (port, "reader".to_owned(), tls);
    params.password = Secret::new(PASSWORD);
    params.tls_ca_file = ca.map(|file| file.display().to_string());
    let error = MysqlDriver.connect(&params).err().expect("no account exists");
    let (open, _) = thread.join().expect("serves");
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
        let error = MysqlDriver.connect(&params).err().expect("refuses");
        assert_eq!(error.code, HarvestCode::FailedPrecondition, "{error}");
    }
}

/// The whole proof of caching_sha2_password is the password itself behind TLS, and a sealed one in the open.
#[test]
fn a_password_goes_behind_tls_or_sealed() {
    let ours = Authority::new();
    for (config, tls) in
        [(Some(ours.server("localhost")), TlsMode::VerifyIdentity), (None, TlsMode::Disabled)]
    {
        let (port, thread) = serve(config, Proof::Caching);
        let mut params = ConnectParams::new("localhost");
        (params.port, params.user, params.tls) = (port, "reader".to_owned(), tls);
        params.password = Secret::new(PASSWORD);
        params.tls_ca_file = Some(ours.file.display().to_string());
        let error = MysqlDriver.connect(&params).err().expect("no account exists");
        assert_eq!(error.code, HarvestCode::PermissionDenied, "{tls:?}: {error}");
        let (open, hidden) = thread.join().expect("serves");
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(PASSWORD);
        assert!(!has(&open), "{tls:?}: the password went in the open");
        assert_eq!(has(&hidden), tls == TlsMode::VerifyIdentity, "{tls:?}");
    }
}
