//! What the AI side and the listener count, as rows: `SHOW GENAI STATUS` and the table `stats_genai_global`; it counts nothing.

use std::sync::{Arc, Weak};

use ai_core_rag::{JobRequest, JobState, Rag, RagCaller};
use harvest_catalog::LogWriter;
use mcp_config::{Cell, ColumnDef, ConfigResult, Row, StatsTable, StatsTables};
use mcp_tools::{CallBook, StatsHub};

use crate::ai::{AiSide, AiSwitch};

const TABLES: &[StatsTable] = &[StatsTable {
    name: "stats_genai_global",
    columns: &[
        ColumnDef { name: "Variable_name", decl: "TEXT NOT NULL PRIMARY KEY" },
        ColumnDef { name: "Value", decl: "TEXT NOT NULL" },
    ],
    has_reset: false,
}];

/// Parts of a host that count, beside the AI side itself.
pub(crate) struct Counted {
    pub(crate) book: Arc<CallBook>,
    pub(crate) rag: Arc<Rag>,
    pub(crate) hub: Arc<StatsHub>,
    pub(crate) logs: Arc<LogWriter>,
}

/// Serves `stats_genai_global`.
pub(crate) struct GenaiStats(pub(crate) Arc<AiSwitch>);

impl StatsTables for GenaiStats {
    fn tables(&self) -> &'static [StatsTable] {
        TABLES
    }

    fn read(&self, _table: &str, _reset: bool) -> ConfigResult<Vec<Row>> {
        let rows = self.0.rows();
        Ok(rows.into_iter().map(|(name, value)| vec![Cell::text(name), Cell::text(value)]).collect())
    }
}

type Named = (&'static str, String);

/// The rows of models and detector.
pub(crate) fn side_rows(side: &AiSide, threads: usize) -> Vec<Named> {
    let (bridge, pool) = side.deps.service.status();
    let (choice, stats) = (side.deps.service.choice(), side.deps.detector.stats());
    let (cache, spend) = (&bridge.cache, &bridge.spend);
    let ms = |value: f64| format!("{value:.3}");
    vec![
        ("genai_threads_initialized", threads.to_string()),
        ("genai_active_requests", pool.active.to_string()),
        ("genai_completed_requests", pool.completed.to_string()),
        ("genai_failed_requests", pool.failed.to_string()),
        ("genai_queued_requests", pool.queued.to_string()),
        ("genai_rejected_requests", pool.rejected.to_string()),
        ("genai_expired_requests", pool.expired.to_string()),
        ("genai_cancelled_requests", pool.cancelled.to_string()),
        ("genai_snapshot_generation", bridge.generation.to_string()),
        ("genai_embedding_provider", choice.embedding_provider),
        ("genai_embedding_model", choice.embedding_model),
        ("llm_total_requests", bridge.total_requests.to_string()),
        ("llm_cache_hits", (cache.exact_hits + cache.semantic_hits).to_string()),
        ("llm_cache_misses", cache.misses.to_string()),
        ("llm_local_model_calls", bridge.local_model_calls.to_string()),
        ("llm_cloud_model_calls", bridge.cloud_model_calls.to_string()),
        ("llm_total_response_time_ms", ms(bridge.total_response_time_ms)),
        ("llm_cache_total_lookup_time_ms", ms(bridge.cache_total_lookup_time_ms)),
        ("llm_cache_total_store_time_ms", ms(bridge.cache_total_store_time_ms)),
        ("llm_cache_lookups", cache.lookups.to_string()),
        ("llm_cache_stores", cache.stores.to_string()),
        ("llm_cache_entries", cache.entries.to_string()),
        ("llm_cache_evictions", cache.evictions.to_string()),
        ("llm_cloud_requests_last_hour", spend.cloud_requests_last_hour.to_string()),
        ("llm_input_tokens", bridge.input_tokens.to_string()),
        ("llm_output_tokens", bridge.output_tokens.to_string()),
        ("llm_retries", bridge.retries.to_string()),
        ("anomaly_total_checks", stats.total_checks.to_string()),
        ("anomaly_blocked_queries", stats.denied.to_string()),
        ("anomaly_flagged_queries", stats.flagged.to_string()),
        ("anomaly_mode", bridge_ai::detector_mode(&side.deps.detector.config()).to_owned()),
        ("anomaly_profiles", stats.profiles.to_string()),
        ("anomaly_threat_patterns", stats.threat_patterns.to_string()),
        ("anomaly_async_dropped", stats.async_dropped.to_string()),
        ("daily_cloud_spend_usd", spend.daily.dollars().to_string()),
    ]
}

impl Counted {
    /// The rows of the listener and of retrieval.
    pub(crate) fn rows(&self) -> Vec<Named> {
        let (total, failed, active) = self.book.requests();
        let auth_failures: u64 = self.book.auth_failures().iter().map(|(_, _, count)| count).sum();
        let mut rows = vec![
            ("mcp_total_requests", total.to_string()),
            ("mcp_failed_requests", failed.to_string()),
            ("mcp_active_connections", self.book.totals().0.to_string()),
            ("mcp_active_requests", active.to_string()),
            ("mcp_auth_failures", auth_failures.to_string()),
            ("mcp_rate_limited", self.book.rate_limited_total().to_string()),
            (
                "mcp_log_rows_dropped",
                self.logs.dropped().saturating_add(self.hub.events_waiting().1).to_string(),
            ),
            ("mcp_uptime_s", self.book.uptime().0.to_string()),
        ];
        let host = RagCaller::named("host");
        // A store that cannot be read has no figures; its own tools say why.
        if let Ok(stats) = self.rag.stats(&host) {
            let vectors: u64 = stats.sources.iter().filter_map(|s| s.embeddings.as_ref()).map(|e| e.ok).sum();
            rows.push(("rag_sources", stats.sources.len().to_string()));
            rows.push(("rag_documents", stats.totals.docs.to_string()));
            rows.push(("rag_chunks", stats.totals.chunks.to_string()));
            rows.push(("rag_vectors", vectors.to_string()));
        }
        if let Ok(jobs) = self.rag.jobs(&host, &JobRequest::default()) {
            let running = jobs.jobs.iter().filter(|job| job.state == JobState::Running).count();
            rows.push(("rag_jobs_running", running.to_string()));
        }
        rows
    }
}

/// Metrics of the AI side as Prometheus text. After the side has gone there are none.
#[derive(Clone)]
pub(crate) struct AiMetrics(pub(crate) Weak<AiSide>);

impl AiMetrics {
    pub(crate) fn text(&self) -> String {
        let Some(side) = self.0.upgrade() else { return String::new() };
        let mut text = bridge_ai::detector_metrics(&side.deps.detector);
        text.push_str(&side.deps.service.metrics_text());
        text
    }
}
