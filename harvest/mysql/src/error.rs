//! Server errors as typed codes; messages never carry hosts, users or credentials.

use harvest::{HarvestCode, HarvestError};
use mysql::{Error, MySqlError};

/// Maps an error by its number, then by its SQLSTATE class.
pub(crate) fn from_mysql(error: &Error) -> HarvestError {
    match error {
        Error::MySqlError(server) => from_server(server),
        Error::DriverError(error) => match error {
            mysql::DriverError::MismatchedStmtParams(expected, given) => {
                let message = format!("the statement has {expected} parameters, {given} were given");
                HarvestError::new(HarvestCode::InvalidArgument, message).with("argument", "params")
            }
            other => HarvestError::new(HarvestCode::Unavailable, format!("the connection failed: {other}"))
                .broken(),
        },
        _ => HarvestError::new(HarvestCode::Unavailable, "the connection to the server was lost").broken(),
    }
}

fn from_server(server: &MySqlError) -> HarvestError {
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
fn clean(server: &MySqlError) -> String {
    match server.code {
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 => {
            "the account lacks the privilege that the statement needs".to_owned()
        }
        _ => server.message.clone(),
    }
}
