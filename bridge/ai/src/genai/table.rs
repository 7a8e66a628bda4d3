//! The table of `genai-*` variables: names, types, ranges, defaults; it does not know what acts on them.

use mcp_config::{VariableDef, VariableKind};

use VariableKind::{Bool, Enum, Int, Num, Text};

const fn def(
    name: &'static str,
    kind: VariableKind,
    default: &'static str,
    description: &'static str,
) -> VariableDef {
    VariableDef { name, kind, default, restarts_listener: false, description }
}

const fn int(min: i64, max: i64) -> VariableKind {
    Int { min, max }
}

const SECRET: VariableKind = VariableKind::Secret { hashed: false };
const URL: VariableKind = Text(Some(url));
const TEXT: VariableKind = Text(None);
const SIZE_MIN: i64 = 1 << 20;
const SIZE_MAX: i64 = 1 << 32;
const YEAR_S: i64 = 31_536_000;

fn url(text: &str) -> Result<String, &'static str> {
    let known = text.starts_with("http://") || text.starts_with("https://");
    if known { Ok(text.to_owned()) } else { Err("an http or https URL") }
}

/// Every variable that something here acts on.
pub const GENAI_VARIABLES: &[VariableDef] = &[
    def("enabled", Bool, "false", "master switch of models and detector"),
    def("threads", int(1, 256), "4", "workers of the model side"),
    def("queue_max_jobs", int(1, 1_000_000), "1024", "jobs that may wait"),
    def("queue_max_bytes", int(SIZE_MIN, SIZE_MAX), "67108864", "bytes of waiting jobs"),
    def("embedding_uri", URL, "http://127.0.0.1:8013/embedding", "default embedding service"),
    def("embedding_model", TEXT, "", "model sent to it; empty means none"),
    def(
        "embedding_provider",
        Enum(&["auto", "builtin", "local", "openai", "llama_cpp"]),
        "auto",
        "which embedder; auto means the service once its address or model is set, else the built-in one",
    ),
    def("embedding_key", SECRET, "", "bearer token of the embedding service"),
    def("embedding_timeout_ms", int(100, 300_000), "30000", "time of one attempt"),
    def("embedding_batch_size", int(1, 2048), "32", "inputs of one call"),
    def("embedding_batch_wait_ms", int(0, 100), "2", "longest wait for companions of a job"),
    def("embedding_cache_entries", int(0, 10_000_000), "50000", "cached vectors of inputs"),
    def("rerank_uri", URL, "http://127.0.0.1:8012/rerank", "rerank service"),
    def(
        "rerank_provider",
        Enum(&["auto", "builtin", "http", "local"]),
        "auto",
        "which reranker; auto as above",
    ),
    def("rerank_key", SECRET, "", "bearer token of the rerank service"),
    def("rerank_model", TEXT, "", "model sent to it; empty means none"),
    def("rerank_timeout_ms", int(100, 300_000), "30000", "time of one attempt"),
    def("rerank_sql_max_rows", int(1, 10_000), "1000", "rows that a statement may bring for reranking"),
    def("llm_enabled", Bool, "false", "whether language models are asked"),
    def(
        "llm_provider",
        Enum(&["openai", "anthropic", "generic", "llama_cpp"]),
        "openai",
        "kind of the provider named default",
    ),
    def("llm_provider_url", URL, "http://localhost:11434/v1/chat/completions", "its address, used as given"),
    def("llm_provider_model", TEXT, "llama3.2", "its model"),
    def("llm_provider_key", SECRET, "", "its key"),
    def(
        "llm_provider_locality",
        Enum(&["auto", "local", "cloud"]),
        "auto",
        "whether its calls count as paid",
    ),
    def("llm_system_prompt", TEXT, "", "instructions of requests without any"),
    def("llm_max_output_tokens", int(1, 131_072), "1024", "tokens of an answer"),
    def("llm_temperature", Num { min: 0.0, max: 2.0 }, "0.1", "sampling temperature"),
    def("llm_timeout_ms", int(1000, 600_000), "30000", "time of one attempt"),
    def("llm_total_timeout_ms", int(1000, 900_000), "60000", "time of a whole call"),
    def("llm_max_retries", int(0, 10), "3", "retries after the first attempt"),
    def("llm_retry_backoff_ms", int(10, 60_000), "1000", "first pause before a retry"),
    def("llm_retry_multiplier", Num { min: 1.0, max: 10.0 }, "2", "growth of that pause"),
    def("llm_retry_max_backoff_ms", int(10, 300_000), "30000", "longest pause"),
    def("llm_request_max_bytes", int(1024, 67_108_864), "1048576", "largest request"),
    def("llm_response_max_bytes", int(1024, 67_108_864), "4194304", "largest answer"),
    def(
        "llm_price_input_usd_per_mtok",
        Num { min: -1.0, max: 10_000.0 },
        "-1",
        "price of a million tokens read by default; -1 means unknown",
    ),
    def(
        "llm_price_output_usd_per_mtok",
        Num { min: -1.0, max: 10_000.0 },
        "-1",
        "price of a million tokens written by default; -1 means unknown",
    ),
    def(
        "llm_default_price_usd_per_mtok",
        Num { min: 0.0, max: 10_000.0 },
        "10",
        "price of cloud endpoints without one",
    ),
    def("llm_cache_enabled", Bool, "true", "whether answers are kept and given again"),
    def("llm_cache_semantic", Bool, "true", "whether questions of the same meaning share an answer"),
    def("llm_cache_similarity_threshold", int(0, 100), "85", "cosine times 100 of the same meaning"),
    def("llm_cache_ttl_s", int(1, YEAR_S), "86400", "life of a kept answer"),
    def("llm_cache_max_entries", int(0, 10_000_000), "10000", "kept answers"),
    def("llm_cache_max_bytes", int(0, 1 << 36), "67108864", "bytes of kept answers"),
    def("prefer_local_models", Bool, "true", "whether local providers go before cloud ones"),
    def(
        "daily_budget_usd",
        Num { min: 0.0, max: 10_000.0 },
        "10",
        "dollars of a UTC day; 0 forbids paid calls",
    ),
    def(
        "max_cloud_requests_per_hour",
        int(0, 100_000),
        "100",
        "cloud attempts in 60 minutes; 0 forbids them",
    ),
    def("query_prefix_enabled", Bool, "true", "whether prefix forms are answered on data ports"),
    def("query_prefix_users", TEXT, "*", "who may use them: * or a list of users"),
    def("nl2sql_enabled", Bool, "true", "whether questions are turned into SQL"),
    def("nl2sql_timeout_ms", int(1000, 600_000), "30000", "time of one conversion"),
    def("nl2sql_max_tables", int(1, 200), "20", "objects shown to the model"),
    def("nl2sql_examples", int(0, 20), "5", "examples shown to the model"),
    def("nl2sql_max_repairs", int(0, 5), "2", "repairs of a refused statement"),
    def("query_history_enabled", Bool, "true", "whether questions are kept"),
    def("query_history_max_rows", int(0, 10_000_000), "10000", "questions kept"),
    def("query_history_ttl_s", int(60, YEAR_S), "2592000", "age of the oldest question kept"),
    def("anomaly_enabled", Bool, "false", "whether the detector judges statements"),
    def("anomaly_mode", Enum(&["auto", "learn", "log", "enforce"]), "auto", "what it may do"),
    def("anomaly_risk_threshold", int(0, 100), "70", "risk times 100 from which it denies"),
    def("anomaly_similarity_threshold", int(0, 100), "80", "cosine times 100 of a known threat"),
    def("anomaly_rate_limit", int(1, 10_000), "100", "statements per second and profile over the window"),
    def("anomaly_rate_window_s", int(1, 3600), "10", "length of the window"),
    def("anomaly_rate_action", Enum(&["flag", "deny"]), "flag", "what happens above the limit"),
    def(
        "anomaly_auto_block",
        Bool,
        "true",
        "whether risk and rate deny; threat patterns with deny always do",
    ),
    def("anomaly_log_only", Bool, "false", "nothing is ever denied"),
    def(
        "anomaly_learning_min_queries",
        int(0, 1_000_000_000),
        "1000",
        "statements before a profile is mature",
    ),
    def("anomaly_learning_period_s", int(0, YEAR_S), "86400", "time before a profile is mature"),
    def("anomaly_profile_max_keys", int(1, 1_000_000), "10000", "profiles kept"),
    def("anomaly_profile_max_digests", int(16, 100_000), "2000", "digests that a profile remembers"),
    def("anomaly_slow_ms", int(1, 1_000_000_000), "5000", "floor of the rule for slow statements"),
    def("anomaly_rows_limit", int(1, 1_000_000_000), "10000", "floor of the rule for many rows"),
    def(
        "anomaly_exempt_users",
        TEXT,
        "",
        "users that are skipped: user or user@address/prefix, comma-separated",
    ),
    def("anomaly_threats_enabled", Bool, "true", "whether the threat library takes part"),
    def(
        "anomaly_fail_closed",
        Bool,
        "false",
        "whether statements are refused when the detector itself fails",
    ),
    def(
        "anomaly_log_sql",
        Enum(&["none", "digest", "redacted", "full"]),
        "redacted",
        "text kept in incidents",
    ),
    def("anomaly_incident_max_rows", int(0, 10_000_000), "10000", "incidents kept"),
    def("anomaly_incident_ttl_s", int(60, YEAR_S), "2592000", "age of the oldest incident kept"),
    def("rag_k_max", int(1, 1000), "50", "results of one search"),
    def("rag_candidates_max", int(1, 5000), "500", "candidates of one search"),
    def("rag_query_max_bytes", int(1, 1_000_000), "8192", "text of a search"),
    def("rag_response_max_bytes", int(1024, 10_000_000), "5000000", "answer of a search"),
    def("rag_timeout_ms", int(1, 60_000), "2000", "time of a search"),
    def("rag_max_ids", int(1, 1000), "100", "ids of one read"),
    def("rag_get_max_bytes", int(1024, 10_000_000), "2000000", "bodies of one read"),
    def("rag_fetch_max_rows", int(1, 10_000), "100", "rows of one fetch"),
    def("rag_fetch_max_bytes", int(1024, 10_000_000), "1000000", "bytes of one fetch"),
    def("rag_sync_workers", int(1, 64), "2", "sources read at once"),
    def("rag_tombstone_ttl_s", int(0, YEAR_S), "604800", "age of tombstones"),
    def("rag_log_ttl_s", int(60, YEAR_S), "604800", "age of the log of searches"),
    def("rag_enabled", Bool, "false", "whether there are tools of retrieval; from the next start"),
    def(
        "rag_store",
        Enum(&["sqlite", "postgres"]),
        "sqlite",
        "where documents and vectors lie; from the next start",
    ),
    def(
        "rag_store_url",
        Text(Some(super::retrieval::store_url)),
        "",
        "address of the PostgreSQL store without a password, then env:NAME or file:PATH; from the next start",
    ),
    def(
        "vector_db_path",
        TEXT,
        "",
        "SQLite file of the store, empty = mcp_rag.db in the data folder; from the next start",
    ),
    def(
        "vector_dimension",
        int(1, 8192),
        "1536",
        "length of vectors of models that leave it open; from the next start",
    ),
    def("rag_fulltext", Enum(&["auto", "fts5", "tantivy"]), "auto", "index of words; from the next start"),
    def(
        "rag_ann",
        Enum(&["off", "auto", "int8", "hnsw"]),
        "auto",
        "what makes searches of vectors fast; from the next start",
    ),
    def(
        "rag_file_roots",
        TEXT,
        "",
        "folders that file sources may lie under, comma-separated; from the next start",
    ),
    def(
        "rag_log_queries",
        Enum(&["off", "hash", "text"]),
        "text",
        "what is kept of the text of searches; from the next start",
    ),
    def(
        "rag_sync_interval_s",
        int(0, YEAR_S),
        "0",
        "time between runs of a source that names none; 0 = on request",
    ),
    def(
        "rag_full_sweep_interval_s",
        int(0, YEAR_S),
        "86400",
        "time between full passes of a source that names none",
    ),
    def("rag_memory_max_bytes", int(33_554_432, 68_719_476_736), "268435456", "memory of ingestion"),
];

/// Other names of variables: alias, name.
pub const GENAI_ALIASES: &[(&str, &str)] = &[
    ("ai_features_enabled", "enabled"),
    ("ai_anomaly_enabled", "anomaly_enabled"),
    ("ai_anomaly_detection_enabled", "anomaly_enabled"),
    ("ai_anomaly_risk_threshold", "anomaly_risk_threshold"),
    ("ai_anomaly_similarity_threshold", "anomaly_similarity_threshold"),
    ("ai_anomaly_rate_limit", "anomaly_rate_limit"),
    ("ai_anomaly_auto_block", "anomaly_auto_block"),
    ("ai_anomaly_log_only", "anomaly_log_only"),
    ("ai_anomaly_mode", "anomaly_mode"),
    ("ai_anomaly_rate_window_s", "anomaly_rate_window_s"),
    ("ai_anomaly_rate_action", "anomaly_rate_action"),
    ("ai_anomaly_learning_min_queries", "anomaly_learning_min_queries"),
    ("ai_anomaly_learning_period_s", "anomaly_learning_period_s"),
    ("ai_anomaly_profile_max_keys", "anomaly_profile_max_keys"),
    ("ai_anomaly_profile_max_digests", "anomaly_profile_max_digests"),
    ("ai_anomaly_slow_ms", "anomaly_slow_ms"),
    ("ai_anomaly_rows_limit", "anomaly_rows_limit"),
    ("ai_anomaly_exempt_users", "anomaly_exempt_users"),
    ("ai_anomaly_threats_enabled", "anomaly_threats_enabled"),
    ("ai_anomaly_fail_closed", "anomaly_fail_closed"),
    ("ai_anomaly_log_sql", "anomaly_log_sql"),
    ("ai_anomaly_incident_max_rows", "anomaly_incident_max_rows"),
    ("ai_anomaly_incident_ttl_s", "anomaly_incident_ttl_s"),
    ("ai_nl2sql_enabled", "nl2sql_enabled"),
    ("ai_nl2sql_timeout_ms", "nl2sql_timeout_ms"),
    ("ai_nl2sql_cache_similarity_threshold", "llm_cache_similarity_threshold"),
    ("llm_prefer_local", "prefer_local_models"),
    ("ai_vector_db_path", "vector_db_path"),
    ("ai_vector_dimension", "vector_dimension"),
    ("rag-enabled", "rag_enabled"),
];
