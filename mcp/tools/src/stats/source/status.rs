//! Counters of this server under their habitual names; it counts nothing itself.

use harvest_gateway::{CacheStats, Gateway, StatsRows};
use serde_json::json;

use super::object;
use crate::ops::CallBook;
use crate::stats::keeper::ServerFigures;
use crate::stats::process;

/// Every counter with its category.
pub(super) fn rows(book: &CallBook, gateway: &Gateway) -> StatsRows {
    let facts = gateway.facts();
    let figures = ServerFigures::of(book, gateway, &facts);
    let counters = gateway.statistics().counters();
    let cache = gateway.cache().stats();
    let (requests, failed, active) = book.requests();
    let digests = gateway.digests();
    let auth: u64 = book.auth_failures().iter().map(|(_, _, count)| count).sum();
    let shunned = facts
        .iter()
        .flat_map(|t| &t.servers)
        .filter(|s| s.pool.status == harvest::BackendStatus::Shunned)
        .count();
    let commands: Vec<(String, u64)> = {
        let mut by_kind = std::collections::BTreeMap::<&str, u64>::new();
        let all = gateway.statistics().commands();
        for (_, kind, stats) in &all {
            *by_kind.entry(kind).or_default() += stats.count;
        }
        by_kind
            .into_iter()
            .map(|(kind, count)| (format!("Com_{}", kind.to_ascii_lowercase()), count))
            .collect()
    };
    let mut all: Vec<(String, String, &'static str)> = Vec::new();
    let mut add = |category: &'static str, name: &str, value: u64| {
        all.push((name.to_owned(), value.to_string(), category));
    };
    add("connections", "Client_Connections_connected", figures.clients_now);
    add("connections", "Client_Connections_created", figures.clients_created);
    add("connections", "Client_Connections_aborted", figures.clients_refused);
    add("connections", "Server_Connections_connected", figures.connected);
    add("connections", "Server_Connections_created", figures.connects_ok);
    add("connections", "Server_Connections_aborted", figures.connects_failed);
    add("queries", "Questions", figures.questions);
    add("queries", "Slow_queries", figures.slow);
    add("queries", "Queries_rows_sent", counters.rows);
    add("queries", "Queries_timed_out", counters.timed_out);
    add("queries", "Queries_cancelled", counters.cancelled);
    add("queries", "Active_Requests", u64::try_from(active).unwrap_or(0));
    add("queries", "Requests", requests);
    pools(&mut add, &figures);
    add("monitor", "Servers_shunned", shunned as u64);
    results(&mut add, &cache);
    add("security", "Auth_failures", auth);
    add("security", "Refused_by_gate", counters.refused_gate);
    add("security", "Refused_by_rules", counters.refused_rules);
    add("security", "Refused_by_hooks", counters.refused_hooks);
    add("security", "Refused_by_policy", counters.refused_policy);
    add("security", "Rate_limited", book.rate_limited_total());
    add("errors", "Requests_failed", failed);
    add("errors", "Backend_errors", counters.failed);
    add("logger", "Digests_evicted", digests.evicted());
    add("system", "Uptime", book.uptime().0);
    if let Some((resident, mapped)) = process::memory_bytes() {
        add("memory", "Memory_resident_bytes", resident);
        add("memory", "Memory_mapped_bytes", mapped);
    }
    for (name, count) in &commands {
        add("commands", name, *count);
    }
    all.into_iter()
        .map(|(name, value, category)| {
            object(json!({"variable_name": name, "value": value, "category": category}))
        })
        .collect()
}

type Add<'a> = &'a mut dyn FnMut(&'static str, &str, u64);

fn pools(add: Add<'_>, figures: &ServerFigures) {
    add("pool_ops", "ConnPool_get_conn_success", figures.gets_ok);
    add("pool_ops", "ConnPool_get_conn_immediate", figures.gets_immediate);
    add("pool_ops", "ConnPool_get_conn_failure", figures.gets_failed);
    add("pool_ops", "MyHGM_myconnpoll_get", figures.gets);
    add("pool_ops", "MyHGM_myconnpoll_get_ok", figures.gets_ok);
    add("pool_ops", "MyHGM_myconnpoll_push", figures.gets_ok.saturating_sub(figures.in_use));
    add("pool_ops", "MyHGM_myconnpoll_reset", figures.resets);
    add("pool_ops", "MyHGM_myconnpoll_destroy", figures.closed);
}

fn results(add: Add<'_>, cache: &CacheStats) {
    add("query_cache", "Query_Cache_count_GET", cache.counters.hits + cache.counters.misses);
    add("query_cache", "Query_Cache_count_GET_OK", cache.counters.hits);
    add("query_cache", "Query_Cache_count_SET", cache.counters.sets);
    add("query_cache", "Query_Cache_bytes_IN", cache.counters.bytes_in);
    add("query_cache", "Query_Cache_bytes_OUT", cache.counters.bytes_out);
    add("query_cache", "Query_Cache_Entries", cache.entries as u64);
    add("query_cache", "Query_Cache_Memory_bytes", cache.bytes as u64);
    add(
        "query_cache",
        "Query_Cache_Purged",
        cache.counters.evictions + cache.counters.expirations + cache.counters.invalidations,
    );
}
