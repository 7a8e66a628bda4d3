//! Server errors as typed codes; messages never carry hosts, users or credentials.

use harvest::{HarvestCode, HarvestError};

use crate::wire::{Body, Source as _};

/// What an error message of the server holds.
#[derive(Debug, Default)]
pub(crate) struct ServerError {
    pub(crate) code: u16,
    pub(crate) state: String,
    pub(crate) message: String,
}

impl ServerError {
    /// Reads the body behind its first byte as far as it can be read.
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut body = Body(body);
        let code = body.u16().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (state, message) = match body.0 {
            [b'#', rest @ ..] if rest.len() >= 5 => (text(&rest[..5]), text(&rest[5..])),
            rest => ("HY000".to_owned(), text(rest)),
        };
        Self { code, state, message }
    }
}

/// Maps an error by its number, then by its SQLSTATE class.
pub(crate) fn from_server(server: &ServerError) -> HarvestError {
    let code = match server.code {
        // Query interrupted, by KILL QUERY.
        1317 => HarvestCode::Cancelled,
        // Statement timeouts of MariaDB and MySQL.
        1969 | 3024 => HarvestCode::DeadlineExceeded,
        1049 | 1051 | 1146 => HarvestCode::NotFound,
        1044 | 1045 | 1142 | 1143 | 1227 | 1290 | 1370 | 1792 => HarvestCode::PermissionDenied,
        1205 | 1213 | 1020 => HarvestCode::Conflict,
        1040 | 1041 | 1053 | 1077 | 1158..=1161 | 1184 | 1203 | 1226 | 2006 | 2013 => {
            HarvestCode::Unavailable
        }
        1038 | 1153 | 1163 | 1436 | 3170 => HarvestCode::LimitExceeded,
        1235 | 1289 | 1295 => HarvestCode::FailedPrecondition,
        _ => match server.state.get(..2) {
            Some("42" | "22" | "21" | "23" | "HY" | "01") => HarvestCode::InvalidArgument,
            Some("08") => HarvestCode::Unavailable,
            Some("40") => HarvestCode::Conflict,
            _ => HarvestCode::Internal,
        },
    };
    let mut error = HarvestError::new(code, clean(server))
        .with("errno", server.code)
        .with("sqlstate", server.state.clone());
    if code == HarvestCode::PermissionDenied {
        error = error.with("by", "backend");
    }
    if matches!(server.code, 1053 | 1077 | 1927 | 2006 | 2013) {
        error = error.broken();
    }
    error
}

/// The server's text, unless it names the account or the host, as refusals do.
fn clean(server: &ServerError) -> String {
    match server.code {
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 => {
            "the account lacks the privilege that the statement needs".to_owned()
        }
        _ => server.message.clone(),
    }
}
