//! Any header value is decoded or refused, and a checked header equals its argument.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp::{HeaderSource, ParamHeader, decode_header_value, is_safe_uri};
use serde_json::{Map, json};

struct One<'a>(&'a str);

impl HeaderSource for One<'_> {
    fn header(&self, _: &str) -> Option<&str> {
        Some(self.0)
    }
}

fuzz_target!(|text: &str| {
    let decoded = decode_header_value(text);
    let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}}});
    let header = &ParamHeader::of_schema(&schema)[0];
    let mut arguments = Map::new();
    arguments.insert("a".into(), json!(text));
    if header.check(&One(text), &arguments).is_ok() {
        assert_eq!(decoded.ok().as_deref(), Some(text));
    }
    if is_safe_uri(text) {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        assert!(!path.contains("/../") && text.is_ascii());
    }
});
