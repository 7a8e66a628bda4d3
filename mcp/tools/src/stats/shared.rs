//! What the statistics tools share: targets and side of a call, pages, filters; it knows no tool.

use harvest::Protocol;
use harvest_gateway::{StatsFamily, StatsOrigin, StatsRequest};
use mcp::{ToolError, ToolResult};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deps::{Call, Frame};
use crate::errors::{IntoToolResult, internal_error};
use crate::ops::OpsDeps;
use crate::schema::OutputSchema;

/// Memory of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// An engine's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DbType {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Pgsql,
    /// SQLite.
    Sqlite,
}

impl DbType {
    pub(super) const fn protocol(self) -> Protocol {
        match self {
            Self::Mysql => Protocol::Mysql,
            Self::Pgsql => Protocol::Pgsql,
            Self::Sqlite => Protocol::Sqlite,
        }
    }

    pub(super) const fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Mysql => Self::Mysql,
            Protocol::Pgsql => Self::Pgsql,
            Protocol::Sqlite => Self::Sqlite,
        }
    }
}

/// Whose figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// This server.
    Host,
    /// The database servers.
    Backend,
}

impl From<Side> for StatsOrigin {
    fn from(side: Side) -> Self {
        match side {
            Side::Host => Self::Host,
            Side::Backend => Self::Backend,
        }
    }
}

/// Arguments of every tool, then those of its own.
macro_rules! common_args {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            /// Engine; that of the target if absent, else that of the default target.
            db_type: Option<$crate::stats::shared::DbType>,
            /// Only rows of this target; if absent, of all targets of the engine that can be used.
            #[schemars(length(min = 1, max = 64))]
            target_id: Option<String>,
            $($(#[$field_meta])* $field: $kind,)*
        }
    };
}

/// As `common_args`, with a page.
macro_rules! paged_args {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $crate::stats::shared::common_args! {
            $(#[$meta])* $vis struct $name {
                /// Most rows; an operator's cap may lower it.
                #[serde(default = "crate::stats::shared::hundred")]
                #[schemars(range(min = 1, max = 1000))]
                limit: usize,
                /// Rows left out at the beginning.
                #[serde(default)]
                #[schemars(range(min = 0, max = 1_000_000))]
                offset: usize,
                $($(#[$field_meta])* $field: $kind,)*
            }
        }
    };
}

pub(super) use {common_args, paged_args};

pub(super) const fn hundred() -> usize {
    100
}

/// Which targets a call is about.
#[derive(Debug)]
pub(super) struct Aim {
    pub(super) protocol: Protocol,
    pub(super) target_ids: Vec<String>,
    named: Option<String>,
}

impl Aim {
    /// The engine and the targets that the arguments mean.
    pub(super) fn of(call: &Call<'_>, db_type: Option<DbType>, target_id: Option<&str>) -> ToolResult<Self> {
        let gateway = &call.deps.gateway;
        let wanted = db_type.map(DbType::protocol);
        if let Some(id) = target_id {
            let info = gateway.known_target(Some(id), &call.scope).for_tool()?;
            if wanted.is_some_and(|protocol| protocol != info.protocol) {
                let message = format!("target {id:?} is of db_type {}", info.protocol.as_str());
                return Err(ToolError::invalid(message)
                    .with("argument", "db_type")
                    .with("expected", info.protocol.as_str()));
            }
            let target_ids = vec![info.target_id.clone()];
            return Ok(Self { protocol: info.protocol, target_ids, named: Some(info.target_id) });
        }
        let protocol = match wanted {
            Some(protocol) => protocol,
            // Statistics are wanted most when no target can be used.
            None => match gateway.known_target(None, &call.scope).for_tool() {
                Ok(info) => info.protocol,
                Err(error) => gateway.targets(&call.scope).first().ok_or(error)?.protocol,
            },
        };
        let targets = gateway.targets(&call.scope).into_iter();
        let target_ids = targets.filter(|t| t.protocol == protocol).map(|t| t.target_id).collect();
        Ok(Self { protocol, target_ids, named: None })
    }

    pub(super) fn db_type(&self) -> DbType {
        DbType::of(self.protocol)
    }

    /// The frame of an answer: a target that was named is told.
    pub(super) fn frame(&self) -> Frame {
        match &self.named {
            Some(id) => Frame::target(id.clone(), self.protocol),
            None => Frame::new(),
        }
    }

    /// Rows of a family from the side that the arguments name, else from the usual one, else from the one that exists.
    pub(super) fn rows<R: DeserializeOwned>(
        &self,
        deps: &OpsDeps,
        call: &Call<'_>,
        family: StatsFamily,
        side: Option<Side>,
        usual: Side,
    ) -> ToolResult<(Side, Vec<R>)> {
        let has = |side: Side| deps.source.supports(family, side.into(), self.protocol);
        let other = if usual == Side::Host { Side::Backend } else { Side::Host };
        let side = match side {
            Some(side) => side,
            None if has(usual) || !has(other) => usual,
            None => other,
        };
        let mut target_ids = self.target_ids.clone();
        if side == Side::Backend && has(side) {
            target_ids = self.reachable(call)?;
        }
        let request = StatsRequest::new(family, side.into(), self.protocol, target_ids);
        let rows = deps.source.rows(&request).for_tool()?;
        Ok((side, typed(rows)?))
    }

    /// The targets whose servers can be asked.
    fn reachable(&self, call: &Call<'_>) -> ToolResult<Vec<String>> {
        let gateway = &call.deps.gateway;
        if let Some(id) = &self.named {
            gateway.resolve(Some(id), &call.scope).for_tool()?;
            return Ok(vec![id.clone()]);
        }
        let targets = gateway.targets(&call.scope).into_iter();
        let usable: Vec<String> = targets
            .filter(|target| target.executable && target.protocol == self.protocol)
            .map(|target| target.target_id)
            .collect();
        if usable.is_empty() {
            let engine = self.protocol.as_str();
            return Err(ToolError::precondition(format!("no target of db_type {engine} can be used now"))
                .with("reason", "no_executable_target"));
        }
        Ok(usable)
    }
}

/// Rows as their tool shows them.
pub(super) fn typed<R: DeserializeOwned>(rows: Vec<Map<String, Value>>) -> ToolResult<Vec<R>> {
    let read = |row| serde_json::from_value(Value::Object(row));
    let rows: Result<Vec<R>, _> = rows.into_iter().map(read).collect();
    rows.map_err(|e| internal_error(&format!("a row of statistics lacks something: {e}")))
}

/// What a page says of itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PageEcho {
    /// The limit that was asked for.
    requested_limit: usize,
    /// The offset that was asked for.
    requested_offset: usize,
    /// The limit that held.
    effective_limit: usize,
    /// The highest limit that holds here.
    limit_cap: usize,
}

/// Cuts a page out of the whole list. Tells whether something was left out.
pub(super) fn cut<R>(
    rows: Vec<R>,
    limit: usize,
    offset: usize,
    limit_cap: usize,
) -> (Vec<R>, PageEcho, bool) {
    let effective_limit = limit.min(limit_cap);
    let total = rows.len();
    let page: Vec<R> = rows.into_iter().skip(offset).take(effective_limit).collect();
    let truncated = page.len() < total;
    let echo = PageEcho { requested_limit: limit, requested_offset: offset, effective_limit, limit_cap };
    (page, echo, truncated)
}

/// The keys that a named target adds.
pub(super) fn may_name_target(schema: OutputSchema) -> OutputSchema {
    schema
        .key(
            "target_id",
            serde_json::json!({"type": "string", "description": "The target that was named."}),
            false,
        )
        .key("protocol", serde_json::json!({"type": "string", "description": "Its protocol."}), false)
}

/// A filter of text by a regular expression that runs in linear time.
pub(super) fn regex(
    argument: &str,
    pattern: Option<&str>,
    case_sensitive: bool,
) -> ToolResult<Option<Regex>> {
    let Some(pattern) = pattern else { return Ok(None) };
    let built =
        RegexBuilder::new(pattern).case_insensitive(!case_sensitive).size_limit(REGEX_BYTES_MAX).build();
    built.map(Some).map_err(|e| {
        ToolError::invalid(format!("{argument} is no regular expression: {e}")).with("argument", argument)
    })
}

/// Whether a value fits a filter that may be absent.
pub(super) fn fits<T: PartialEq + ?Sized>(filter: Option<&T>, value: &T) -> bool {
    filter.is_none_or(|wanted| wanted == value)
}

/// Whether `host:port`, or a path, names a server.
pub(super) fn is_server(filter: Option<&str>, host: &str, port: Option<i64>) -> bool {
    filter.is_none_or(|wanted| match port {
        Some(port) => wanted == format!("{host}:{port}") || wanted == host,
        None => wanted == host,
    })
}

/// A digest argument as rows spell it: hex digits after `0x`, or a decimal number.
pub(super) fn digest_filter(digest: Option<&str>) -> ToolResult<Option<String>> {
    let Some(text) = digest else { return Ok(None) };
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.map(|number| Some(format!("0x{number:016X}"))).map_err(|_| {
        ToolError::invalid("digest is 0x and hex digits, or a decimal number")
            .with("argument", "digest")
            .with("got", text)
    })
}

/// A share of two counts; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share shown to people")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_both_spellings() {
        assert_eq!(digest_filter(Some("0xff")).unwrap().unwrap(), "0x00000000000000FF");
        assert_eq!(digest_filter(Some("255")).unwrap(), digest_filter(Some("0xFF")).unwrap());
        assert_eq!(digest_filter(Some("-1")).unwrap_err().details["argument"], "digest");
        assert!(digest_filter(None).unwrap().is_none());
    }

    #[test]
    fn a_page_tells_what_it_left_out() {
        let (page, echo, truncated) = cut((0..10).collect(), 500, 4, 3);
        assert_eq!((page, echo.effective_limit, truncated), (vec![4, 5, 6], 3, true));
        let (page, _, truncated) = cut(vec![1, 2], 5, 0, 10);
        assert_eq!((page, truncated), (vec![1, 2], false));
    }
}
