//! Every variable against its table: accepted at its default, read back, refused beyond its range, acted upon.

use super::*;

#[test]
fn every_variable_accepts_its_default_and_reads_back() {
    for def in GENAI_VARIABLES {
        let mut config = GenaiConfig::default();
        assert_eq!(config.get(def.name).as_deref(), Some(def.default), "{}", def.name);
        config.set(def.name, def.default).unwrap_or_else(|e| panic!("{}: {e}", def.name));
        assert_eq!(config.get(&format!("genai-{}", def.name)).as_deref(), Some(def.default), "{}", def.name);
    }
}

#[test]
fn defaults_by_name_are_the_defaults_of_the_parts() {
    let all = GENAI_VARIABLES.iter().map(|def| (def.name, def.default.to_owned())).collect();
    let (named, plain) = (GenaiConfig::of(all).unwrap(), GenaiConfig::default());
    assert_eq!(named.llm, plain.llm);
    assert_eq!(named.detector, plain.detector);
    assert_eq!(named.nl2sql, plain.nl2sql);
    let rag = |config: &GenaiConfig| {
        let limits = config.rag.limits.clone();
        // The engine by itself keeps tombstones and the log longer than an operator's configuration does.
        let limits = ai_core_rag::RagLimits { tombstone_ttl_s: 0, log_ttl_s: 0, ..limits };
        RagSetup { limits, ..config.rag.clone() }
    };
    assert_eq!(rag(&named), rag(&plain));
}

#[test]
fn every_variable_of_the_model_side_is_in_the_table() {
    for name in LlmConfig::variable_names() {
        assert!(variable(name).is_some(), "{name}");
    }
}

#[test]
fn another_value_changes_exactly_its_part() {
    let shown = |config: &GenaiConfig| {
        format!(
            "{:?} {:?} {:?} {:?} {} {} {}",
            config.llm,
            config.detector,
            config.rag,
            config.nl2sql,
            config.history_enabled,
            config.history_rows_max,
            config.history_ttl_s
        )
    };
    for def in GENAI_VARIABLES {
        let other = match def.kind {
            mcp_config::VariableKind::Bool => if def.default == "true" { "off" } else { "on" }.to_owned(),
            mcp_config::VariableKind::Int { min, max } => {
                if def.default == max.to_string() { min } else { max }.to_string()
            }
            mcp_config::VariableKind::Num { max, .. } => max.to_string(),
            // HNSW needs a store in PostgreSQL.
            mcp_config::VariableKind::Enum(_) if def.name == "rag_ann" => "int8".to_owned(),
            mcp_config::VariableKind::Enum(words) => {
                let other = words.iter().rev().find(|word| **word != def.default);
                (*other.unwrap()).to_owned()
            }
            _ if def.name == "rag_store_url" => "postgres://me@127.0.0.1:1/x".to_owned(),
            _ if def.name.ends_with("_uri") || def.name.ends_with("_url") => {
                "http://127.0.0.1:1/x".to_owned()
            }
            _ => "someone".to_owned(),
        };
        // The detector is under the master switch.
        let mut before = GenaiConfig::default();
        before.set("enabled", if def.name == "enabled" { "false" } else { "true" }).unwrap();
        if def.name == "rag_store" {
            before.set("rag_store_url", "postgres://me@127.0.0.1:1/x").unwrap();
        }
        let mut after = before.clone();
        after.set(def.name, &other).unwrap_or_else(|e| panic!("{}: {e}", def.name));
        if def.is_secret() {
            assert_eq!(after.get(def.name).as_deref(), Some("***"));
            assert!(!shown(&after).contains("someone"), "{} is shown", def.name);
            assert_ne!(before.llm, after.llm, "{}", def.name);
        } else {
            assert_ne!(shown(&before), shown(&after), "{} = {other} changes nothing", def.name);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut config = GenaiConfig::default();
    for (name, value) in [
        ("threads", "0"),
        ("threads", "many"),
        ("anomaly_risk_threshold", "101"),
        ("llm_provider", "oracle"),
        ("embedding_uri", "nowhere"),
        ("anomaly_exempt_users", "etl@nowhere/99"),
        ("anomaly_exempt_users", "etl@10.0.0.0/33"),
        ("llm_provider_key", "env:PENSTOCK_NO_SUCH_VARIABLE"),
        ("no_such", "1"),
    ] {
        let error = config.set(name, value).unwrap_err();
        assert!(error.contains(&format!("genai-{name}")), "{name}: {error}");
    }
    assert_eq!(config.llm, LlmConfig::default());
    config.set("ai_anomaly_risk_threshold", "55").unwrap();
    config.set("genai-anomaly_exempt_users", "etl@10.1.0.0/16, backup").unwrap();
    assert_eq!(config.detector.risk_threshold, 55);
    assert_eq!(config.detector.exempt_users.len(), 2);
}

#[test]
fn the_table_is_reviewed_by_snapshot() {
    let lines: Vec<String> = GENAI_VARIABLES
        .iter()
        .map(|def| {
            format!("genai-{} = {:?} ({}): {}", def.name, def.default, def.expected(), def.description)
        })
        .collect();
    insta::assert_snapshot!("variables", lines.join("\n"));
}
