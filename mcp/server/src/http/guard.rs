//! `Host` and `Origin`: keeps foreign web pages away from this server; it does not know tokens.

use std::net::IpAddr;

use hyper::header::{HOST, ORIGIN};
use hyper::{Request, StatusCode};

use super::Peer;
use super::answer::Refusal;
use crate::config::ServerConfig;

/// Checks both headers.
pub(super) fn check<B>(config: &ServerConfig, peer: &Peer, request: &Request<B>) -> Result<(), Refusal> {
    let text = |value: Option<&hyper::header::HeaderValue>| {
        value.map(|v| v.to_str().unwrap_or("\u{fffd}").to_owned())
    };
    let host =
        text(request.headers().get(HOST)).or_else(|| request.uri().authority().map(ToString::to_string));
    if !host.is_some_and(|host| host_allowed(config, peer.loopback, &host)) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "this host name is not served here"));
    }
    match text(request.headers().get(ORIGIN)) {
        Some(origin) if !origin_allowed(&config.allowed_origins, &origin) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "this origin is not allowed"))
        }
        _ => Ok(()),
    }
}

/// DNS rebinding needs a name: addresses and `localhost` are always fine. Beyond loopback an empty list admits all names.
fn host_allowed(config: &ServerConfig, loopback: bool, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || (!loopback && config.allowed_hosts.is_empty() && !name.is_empty())
        || config.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

fn origin_allowed(allowed: &[String], origin: &str) -> bool {
    allowed.iter().any(|entry| match entry.strip_suffix(":*") {
        Some(base) => {
            origin == base
                || origin
                    .strip_prefix(base)
                    .and_then(|rest| rest.strip_prefix(':'))
                    .is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        }
        None => entry == origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_on_loopback_and_addresses_never() {
        let mut config = ServerConfig::default();
        for host in ["localhost", "LOCALHOST:6071", "127.0.0.1:1", "[::1]:6071", "10.0.0.1"] {
            assert!(host_allowed(&config, true, host), "{host}");
        }
        for host in ["evil.example.com", "evil.example.com:6071", "", "localhost.evil.com", "[evil]"] {
            assert!(!host_allowed(&config, true, host), "{host}");
        }
        assert!(host_allowed(&config, false, "db.example.com"));
        config.allowed_hosts = vec!["mcp.example.com".into()];
        assert!(host_allowed(&config, true, "mcp.example.com:443"));
        assert!(!host_allowed(&config, false, "db.example.com"));
    }

    #[test]
    fn origins_are_exact_or_of_any_port() {
        let allowed = ["https://a.example".to_owned(), "http://localhost:*".to_owned()];
        for good in ["https://a.example", "http://localhost", "http://localhost:8080"] {
            assert!(origin_allowed(&allowed, good), "{good}");
        }
        for bad in
            ["https://a.example:1", "http://localhost:8080.evil.com", "http://localhost.evil.com", "null", ""]
        {
            assert!(!origin_allowed(&allowed, bad), "{bad}");
        }
    }
}
