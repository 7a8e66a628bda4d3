//! Recognises the prefix forms in a statement; pure functions that know neither sessions nor rights.

use ai_core::AiErrorCode;
use serde_json::{Map, Value, json};

/// Which operation a prefix names.
// Exhaustive on purpose: there are three prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrefixKind {
    /// `GENAI: {json}`: any operation.
    Genai,
    /// `LLM: text`.
    Llm,
    /// `NL2SQL: text`.
    Nl2Sql,
}

impl PrefixKind {
    /// The word before the colon.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Genai => "GENAI",
            Self::Llm => "LLM",
            Self::Nl2Sql => "NL2SQL",
        }
    }
}

/// A recognised statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixQuery<'a> {
    /// Which prefix.
    pub kind: PrefixKind,
    /// The text behind it, without outer white space and one closing semicolon.
    pub body: &'a str,
}

/// The prefix of `statement`, if it has one: `WORD: body` or `/* WORD: */ body`, in any case, after white space.
#[must_use]
pub fn parse_prefix(statement: &str) -> Option<PrefixQuery<'_>> {
    let text = statement.trim_start();
    let (rest, in_comment) = match text.strip_prefix("/*") {
        Some(rest) => (rest.trim_start(), true),
        None => (text, false),
    };
    let kinds = [PrefixKind::Genai, PrefixKind::Llm, PrefixKind::Nl2Sql];
    let (kind, after) = kinds.into_iter().find_map(|kind| {
        let word = kind.word();
        let head = rest.get(..word.len())?;
        let after = head.eq_ignore_ascii_case(word).then(|| &rest[word.len()..])?;
        Some((kind, after.trim_start().strip_prefix(':')?))
    })?;
    let body = if in_comment { after.trim_start().strip_prefix("*/")? } else { after };
    let body = body.trim();
    // A statement's closing semicolon is no part of a question, nor of JSON.
    let body = body.strip_suffix(';').map_or(body, str::trim_end);
    Some(PrefixQuery { kind, body })
}

impl PrefixQuery<'_> {
    /// The operation's JSON text. `schema` and `target_id` of the session go to `nl2sql`; empty = not sent.
    #[must_use]
    pub fn operation(&self, schema: &str, target_id: &str) -> String {
        let mut members = Map::new();
        match self.kind {
            PrefixKind::Genai => return self.body.to_owned(),
            PrefixKind::Llm => {
                members.insert("type".into(), json!("llm"));
                members.insert("prompt".into(), json!(self.body));
            }
            PrefixKind::Nl2Sql => {
                members.insert("type".into(), json!("nl2sql"));
                members.insert("natural_language".into(), json!(self.body));
                for (name, value) in [("schema", schema), ("target_id", target_id)] {
                    if !value.is_empty() {
                        members.insert(name.into(), json!(value));
                    }
                }
            }
        }
        Value::Object(members).to_string()
    }
}

/// How a failed operation looks on a SQL wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlErrorCodes {
    /// MySQL's error number.
    pub mysql_errno: u16,
    /// MySQL's state.
    pub mysql_state: &'static str,
    /// PostgreSQL's state.
    pub postgres_state: &'static str,
}

/// The SQL codes of a failure; its message begins with the code's own name.
#[must_use]
pub const fn sql_error_codes(code: AiErrorCode) -> SqlErrorCodes {
    let (mysql_errno, mysql_state) = match code {
        AiErrorCode::PermissionDenied => (1227, "42000"),
        AiErrorCode::DeadlineExceeded => (3024, "HY000"),
        _ => (1105, "HY000"),
    };
    let postgres_state = match code {
        AiErrorCode::InvalidArgument | AiErrorCode::NotFound => "22023",
        AiErrorCode::PermissionDenied => "42501",
        AiErrorCode::DeadlineExceeded => "57014",
        AiErrorCode::Unavailable => "53000",
        AiErrorCode::LimitExceeded => "54000",
        AiErrorCode::FailedPrecondition | AiErrorCode::Conflict => "55000",
        AiErrorCode::Internal => "XX000",
    };
    SqlErrorCodes { mysql_errno, mysql_state, postgres_state }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_codes() {
        let codes = sql_error_codes(AiErrorCode::PermissionDenied);
        assert_eq!((codes.mysql_errno, codes.mysql_state, codes.postgres_state), (1227, "42000", "42501"));
        assert_eq!(sql_error_codes(AiErrorCode::Unavailable).mysql_errno, 1105);
    }

    #[test]
    fn forms() {
        let parsed = |text| parse_prefix(text).map(|q| (q.kind, q.body));
        assert_eq!(parsed("LLM: hello"), Some((PrefixKind::Llm, "hello")));
        assert_eq!(parsed("  \n genai:{\"type\":1} ; "), Some((PrefixKind::Genai, "{\"type\":1}")));
        assert_eq!(parsed("/* nl2SQL: */ top customers"), Some((PrefixKind::Nl2Sql, "top customers")));
        assert_eq!(parsed("/*LLM:*/x"), Some((PrefixKind::Llm, "x")));
        assert_eq!(parsed("LLM:"), Some((PrefixKind::Llm, "")));
        assert_eq!(parsed("LLM : spaced"), Some((PrefixKind::Llm, "spaced")));
        for none in [
            "SELECT 1",
            "LLMs: x",
            "/* LLM: x */",
            "/* LLM */ x",
            "",
            "LL",
            "größe",
            "-- LLM: x",
            "/* a */ LLM: x",
        ] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }

    #[test]
    fn operations() {
        let op = |text: &str| parse_prefix(text).unwrap().operation("shop", "");
        assert_eq!(op("LLM: say \"hi\""), r#"{"type":"llm","prompt":"say \"hi\""}"#);
        assert_eq!(op("NL2SQL: q"), r#"{"type":"nl2sql","natural_language":"q","schema":"shop"}"#);
        assert_eq!(op("GENAI: {\"a\":1}"), "{\"a\":1}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,60}", case in "[lL][lL][mM]:") {
            let _ = parse_prefix(&text);
            let whole = format!("{case}{text}");
            proptest::prop_assert!(parse_prefix(&whole).is_some());
        }
    }
}
