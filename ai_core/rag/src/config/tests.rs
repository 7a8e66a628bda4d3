//! Validation and forms of a source's settings.

use super::*;

#[test]
fn validation_names_the_path() {
    type Edit = fn(&mut SourceConfig);
    let cases: [(&str, Edit); 8] = [
        ("backend_type", |c| c.backend_type = "oracle".into()),
        ("backend_pass", |c| c.backend_pass = "hunter2".into()),
        ("chunking_json.chunk_size", |c| c.chunking.chunk_size = Some(3)),
        ("chunking_json.overlap", |c| (c.chunking.chunk_size, c.chunking.overlap) = (Some(100), Some(100))),
        ("embedding_json.metric", |c| c.embedding.metric = "hamming".into()),
        ("embedding_json.api_key", |c| c.embedding.api_key = Some("sk-123".into())),
        ("sync_json.mode", |c| c.sync.mode = "push".into()),
        ("pk_column", |c| c.pk_column = "a,,b".into()),
    ];
    SourceConfig::push("docs").validate().unwrap();
    for (path, edit) in cases {
        let mut config = SourceConfig::push("docs");
        edit(&mut config);
        let error = config.validate().unwrap_err();
        assert!(error.message.starts_with(path), "{error}");
        assert!(!error.message.contains("hunter2") && !error.message.contains("sk-123"));
    }
}

#[test]
fn unknown_members_are_refused_and_forms_read_back() {
    let text = r#"{"name":"p","backend_type":"sqlite","backend_db":"x.db","table_name":"posts","pk_column":"[\"a\",\"b\"]",
        "doc_map_json":{"title":{"concat":[{"col":"t","prefix":"> "}]},"body":{"concat":[{"col":"b"},{"lit":"\n"}]}}}"#;
    let config: SourceConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    assert_eq!(config.key_columns().unwrap(), ["a", "b"]);
    let again: SourceConfig = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    assert!(serde_json::from_str::<SourceConfig>(&text.replace("\"t\"", "\"t\",\"collate\":1")).is_err());
}
