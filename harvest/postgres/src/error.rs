//! Server errors as typed codes; messages never carry hosts, users or credentials.

use harvest::{HarvestCode, HarvestError};

use crate::wire::Body;

/// The fields of an error frame that are used here.
#[derive(Debug, Default)]
pub(crate) struct ServerError {
    pub(crate) state: String,
    pub(crate) message: String,
    hint: String,
    position: Option<u32>,
}

impl ServerError {
    /// Reads the body of an error frame as far as it can be read.
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut body = Body(body);
        let mut error = Self::default();
        while let Ok(field) = body.u8() {
            let Ok(text) = body.text() else { break };
            match field {
                b'C' => text.clone_into(&mut error.state),
                b'M' => text.clone_into(&mut error.message),
                b'H' => text.clone_into(&mut error.hint),
                b'P' => error.position = text.parse().ok(),
                _ => {}
            }
        }
        error
    }
}

/// Maps an error by its SQLSTATE class.
pub(crate) fn from_server(server: &ServerError) -> HarvestError {
    let state = server.state.as_str();
    let code = match (state, state.get(..2).unwrap_or_default()) {
        ("57014", _) => HarvestCode::Cancelled,
        ("42P01" | "3F000" | "42704", _) => HarvestCode::NotFound,
        ("42501" | "25006" | "42P18", _) | (_, "28") => HarvestCode::PermissionDenied,
        ("40001" | "40P01" | "55P03" | "55006", _) => HarvestCode::Conflict,
        ("0A000" | "55000" | "25P02", _) => HarvestCode::FailedPrecondition,
        (_, "08" | "57" | "53" | "58") => HarvestCode::Unavailable,
        (_, "54") => HarvestCode::LimitExceeded,
        (_, "22" | "42" | "21" | "20" | "23" | "2B" | "44" | "P0") => HarvestCode::InvalidArgument,
        _ => HarvestCode::Internal,
    };
    let mut message = server.message.clone();
    if !server.hint.is_empty() {
        message = format!("{message} ({})", server.hint);
    }
    let mut error = HarvestError::new(code, message).with("sqlstate", state);
    if let Some(position) = server.position {
        error = error.with("position", position);
    }
    if code == HarvestCode::PermissionDenied {
        error = error.with("by", "backend");
    }
    if matches!(state.get(..2), Some("08"))
        || matches!(state, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
    {
        error = error.broken();
    }
    error
}
