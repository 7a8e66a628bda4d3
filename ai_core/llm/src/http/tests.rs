//! Tests of the HTTP layer that need its inside: TLS with a certificate of the test's own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::tls::{Certificate, RootCerts};

use super::*;
use crate::clock::SystemClock;

/// A TLS server with a self-signed certificate that answers `{}` to everything.
fn tls_server() -> (String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten().take(8) {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            let mut request = [0; 4_096];
            if tls.read(&mut request).is_ok_and(|n| n > 0) {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
            }
        }
    });
    (format!("https://localhost:{port}/"), certificate)
}

fn post(endpoint: &Endpoint, url: &str) -> Result<Vec<u8>, HttpFault> {
    let call = HttpCall {
        url,
        headers: &[],
        body: b"{}",
        accept: "application/json",
        deadline: Deadline::after_ms(20_000),
        response_bytes_max: 100,
        cancel: &CancelToken::new(),
    };
    endpoint.post(&call)?.read_all()
}

#[test]
fn certificates_are_verified() {
    let (url, certificate) = tls_server();
    let fault = post(&Endpoint::new(Arc::new(SystemClock)), &url).unwrap_err();
    assert!(matches!(fault, HttpFault::Certificate(_)), "{fault:?}");
    let error = ai_core::LlmError::from(fault);
    assert_eq!(error.code.as_str(), "ERR_CONNECTION_FAILED");
    assert!(!error.retryable, "no retry makes a certificate good");

    let roots = RootCerts::new_with_certs(&[Certificate::from_der(&certificate).to_owned()]);
    let trusting = Endpoint::with_tls(Arc::new(SystemClock), TlsConfig::builder().root_certs(roots).build());
    assert_eq!(post(&trusting, &url).unwrap(), b"{}");
}

#[test]
fn a_plain_server_behind_https_is_a_connection_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten().take(1) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let fault = post(&Endpoint::new(Arc::new(SystemClock)), &url).unwrap_err();
    assert!(matches!(fault, HttpFault::Connection(_)), "{fault:?}");
}

#[test]
fn retry_after_forms() {
    let read = |value: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        retry_after(&headers, 784_111_777_000 - 1_500).map(|d| d.as_millis())
    };
    assert_eq!(read("120"), Some(120_000));
    assert_eq!(read("0.5"), Some(500));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(1_500));
    assert_eq!(read("Sat, 05 Nov 1994 08:49:37 GMT"), Some(0));
    assert_eq!(read("999999999999"), Some(86_400_000));
    for bad in ["-1", "soon", "NaN", "inf"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}
