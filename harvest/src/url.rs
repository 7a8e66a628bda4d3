//! Connection URLs as people write them: `postgres://user:password@host:5432/db?ssl_mode=required`; it connects to nothing.

use crate::connection::{ConnectParams, Secret, TlsMode};
use crate::error::{HarvestCode, HarvestError, HarvestResult};

/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 4_096;

impl ConnectParams {
    /// Reads a URL; gives its scheme, lower case, and the parameters. `sqlite:PATH` names a file.
    ///
    /// User, password and database may be percent-encoded. Options: `ssl_mode` (or `sslmode`) with disabled, preferred,
    /// required, verify_ca, verify_identity and libpq's spellings; `ssl_ca` (or `sslrootcert`), `ssl_cert`, `ssl_key`
    /// (files); `connect_timeout_ms`; `socket` (a path).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the part that is wrong; the URL itself is never repeated, since it may hold a password.
    ///
    /// ```
    /// let (scheme, params) = harvest::ConnectParams::from_url("mysql://app:s%40crt@db.example:3307/shop?ssl_mode=required")?;
    /// assert_eq!((scheme.as_str(), params.host.as_str(), params.port), ("mysql", "db.example", 3307));
    /// assert_eq!(params.password.expose(), "s@crt");
    /// # Ok::<(), harvest::HarvestError>(())
    /// ```
    pub fn from_url(url: &str) -> HarvestResult<(String, Self)> {
        if url.len() > URL_BYTES_MAX {
            return Err(wrong("the URL is too long"));
        }
        let (scheme, rest) =
            url.split_once(':').ok_or_else(|| wrong("a URL begins with a scheme, as in mysql://"))?;
        let scheme = scheme.to_ascii_lowercase();
        let Some(rest) = rest.strip_prefix("//") else {
            let path = decode(rest)?;
            if path.is_empty() {
                return Err(wrong("the path of the file is missing"));
            }
            return Ok((scheme, Self::new(path)));
        };
        if scheme == "sqlite" {
            return Ok((scheme, Self::new(decode(rest)?)));
        }
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // The password may hold an @ that nobody encoded: the last one ends it.
        let (account, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = account.split_once(':').unwrap_or((account, ""));
        let (host, port) = host_and_port(address)?;
        let mut params = Self::new(host);
        params.port = port;
        params.user = decode(user)?;
        params.password = Secret::new(decode(password)?);
        params.database = decode(database)?;
        for option in options.split('&').filter(|o| !o.is_empty()) {
            let (name, value) =
                option.split_once('=').ok_or_else(|| wrong("an option has the form name=value"))?;
            set(&mut params, name, decode(value)?)?;
        }
        Ok((scheme, params))
    }
}

fn host_and_port(address: &str) -> HarvestResult<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or_else(|| wrong("an IPv6 address ends with ]"))?;
            (host, tail.strip_prefix(':'))
        }
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => 0,
        Some(text) => text.parse().map_err(|_| wrong("the port is no number from 1 to 65535"))?,
    };
    Ok((if host.is_empty() { "127.0.0.1".to_owned() } else { decode(host)? }, port))
}

fn set(params: &mut ConnectParams, name: &str, value: String) -> HarvestResult<()> {
    match name {
        "ssl_mode" | "sslmode" | "ssl-mode" => params.tls = tls_mode(&value)?,
        "ssl_ca" | "sslrootcert" => params.tls_ca_file = Some(value),
        "ssl_cert" | "sslcert" => params.tls_cert_file = Some(value),
        "ssl_key" | "sslkey" => params.tls_key_file = Some(value),
        "connect_timeout_ms" => {
            params.connect_timeout_ms =
                value.parse().map_err(|_| wrong("connect_timeout_ms is no number of milliseconds"))?;
        }
        "socket" => params.host = value,
        other => return Err(wrong(&format!("the option {other:?} is unknown"))),
    }
    Ok(())
}

fn tls_mode(value: &str) -> HarvestResult<TlsMode> {
    Ok(match value.to_ascii_lowercase().replace('-', "_").as_str() {
        "disabled" | "disable" => TlsMode::Disabled,
        "preferred" | "prefer" | "allow" => TlsMode::Preferred,
        "required" | "require" => TlsMode::Required,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_identity" | "verify_full" => TlsMode::VerifyIdentity,
        _ => return Err(wrong("ssl_mode is disabled, preferred, required, verify_ca or verify_identity")),
    })
}

fn decode(text: &str) -> HarvestResult<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *byte == b'%');
        let decoded =
            hex.and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (decoded, byte) {
            (Some(decoded), _) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            (None, b'%') => return Err(wrong("a % is followed by two hexadecimal digits")),
            (None, byte) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("a part is not UTF-8 after decoding"))
}

fn wrong(message: &str) -> HarvestError {
    HarvestError::new(HarvestCode::InvalidArgument, format!("connection URL: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, ConnectParams) {
        ConnectParams::from_url(url).expect(url)
    }

    #[test]
    fn every_part_is_read() {
        let (scheme, p) =
            parsed("postgres://u%3Aser:p%40ss:w@[::1]:5433/my%2Fdb?sslmode=verify-full&ssl_ca=/ca.pem");
        assert_eq!(
            (scheme.as_str(), p.host.as_str(), p.port, p.user.as_str()),
            ("postgres", "::1", 5433, "u:ser")
        );
        assert_eq!(
            (p.password.expose(), p.database.as_str(), p.tls),
            ("p@ss:w", "my/db", TlsMode::VerifyIdentity)
        );
        assert_eq!(p.tls_ca_file.as_deref(), Some("/ca.pem"));
        let (_, p) = parsed("mysql://root@/shop");
        assert_eq!((p.host.as_str(), p.port, p.password.is_empty()), ("127.0.0.1", 0, true));
        let (_, p) = parsed("mysql://a:un@coded@h/d");
        assert_eq!((p.password.expose(), p.host.as_str()), ("un@coded", "h"));
        assert_eq!(parsed("sqlite:/data/a b.db").1.host, "/data/a b.db");
        assert_eq!(parsed("sqlite:///data/x.db").1.host, "/data/x.db");
        assert_eq!(parsed("sqlite:rel.db").1.host, "rel.db");
    }

    #[test]
    fn faults_are_named_and_passwords_are_not() {
        for url in [
            "",
            "nothing",
            "mysql://u:secret@h:99999/d",
            "mysql://u:secret@h/d?nope=1",
            "mysql://u:secret%zz@h/d",
            "sqlite:",
        ] {
            let error = ConnectParams::from_url(url).expect_err(url);
            assert_eq!(error.code, HarvestCode::InvalidArgument, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
