//! Spellings of verbs: all of them by snapshot, and texts that are none.

use std::sync::Arc;

use super::*;
use crate::family::Candidate;
use crate::mcp_family::mcp_family;
use crate::runtime::{Applied, Runtime};

struct Nothing;

impl Runtime for Nothing {
    fn apply(&self, _: &Candidate) -> ConfigResult<Applied> {
        Ok(Applied::default())
    }
}

fn verbs() -> Verbs {
    Verbs::new(&[mcp_family(std::path::Path::new("/data"), Arc::new(Nothing))])
}

#[test]
fn the_list_is_reviewed_by_snapshot() {
    let verbs = verbs();
    let lines: Vec<String> = verbs
        .spellings
        .iter()
        .map(|(spelling, verb)| match verb {
            Verb::Move { canonical, .. } | Verb::Checksum { canonical, .. } if canonical != spelling => {
                format!("{spelling}  ->  {canonical}")
            }
            _ => spelling.clone(),
        })
        .collect();
    insta::assert_snapshot!("verbs", lines.join("\n"));
}

#[test]
fn case_blanks_and_one_semicolon_do_not_matter() {
    let verbs = verbs();
    for text in [
        "load mcp query rules to run",
        "  LOAD\tMcp\n Query   RULES from MEM ; ",
        "LOAD MCP QUERY RULES TO RUNTIME;",
    ] {
        let verb = verbs.parse(text).expect("reads").expect("is a verb");
        assert!(
            matches!(verb, Verb::Move { module: "query_rules", direction: Move::MemoryToRuntime, .. }),
            "{text}: {verb:?}"
        );
    }
    assert!(verbs.parse("LOAD MCP QUERY RULES TO RUNTIME;;").is_err());
}

#[test]
fn an_unknown_verb_names_the_nearest() {
    let error = verbs().parse("LOAD MCP RULES TO RUNTIME").expect_err("is unknown");
    assert!(error.message.contains("LOAD MCP QUERY RULES TO RUNTIME"), "{error}");
}

#[test]
fn values_are_read_with_and_without_quotes() {
    let verbs = verbs();
    let set = |text: &str| match verbs.parse(text) {
        Ok(Some(Verb::Set { name, value })) => (name, value),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(set("set mcp-port=6080;"), ("mcp-port".to_owned(), "6080".to_owned()));
    assert_eq!(set("SET mcp-x = 'it''s; \"so\"'").1, "it's; \"so\"");
    assert_eq!(set("SET mcp-x = \"a\nb\"").1, "a\nb");
    assert_eq!(set("SET `mcp-x` = ").1, "");
    assert!(verbs.parse("SET mcp-x = 'open").is_err() && verbs.parse("SET mcp-x").is_err());
    assert!(verbs.parse("SET mcp-x = 'a' 'b'").is_err());
}

#[test]
fn variables_are_shown_and_selected() {
    let verbs = verbs();
    let like = |text: &str| match verbs.parse(text) {
        Ok(Some(Verb::ShowVariables { like, .. })) => like,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(like("SHOW MCP VARIABLES"), None);
    assert_eq!(like("show variables like 'mcp-P%'"), Some("mcp-P%".to_owned()));
    let name = verbs.parse("select @@mcp-port").expect("reads");
    assert_eq!(name, Some(Verb::SelectVariable { name: "mcp-port".to_owned() }));
    assert_eq!(verbs.parse("SELECT 1").expect("reads"), None);
    assert!(verbs.parse("SHOW NOTHING").is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let verbs = verbs();
        let _ = verbs.parse(&text);
        let _ = verbs.parse(&format!("SET mcp-x = {text}"));
        let _ = verbs.parse(&format!("SHOW VARIABLES LIKE {text}"));
        let _ = verbs.parse(&format!("LOAD {text}"));
    }

    #[test]
    fn a_quoted_value_comes_back(value in "\\PC{0,60}") {
        let text = format!("SET mcp-x = '{}'", value.replace('\'', "''"));
        let read = verbs().parse(&text).expect("reads");
        proptest::prop_assert_eq!(read, Some(Verb::Set { name: "mcp-x".to_owned(), value }));
    }
}
