//! The tools of `/mcp/ai`: what they share, and the box that holds them; each group of tools has a file of its own.

mod allow;
mod anomaly;
mod deps;
mod history;
mod indexes;
mod models;
mod observe;
mod patterns;
mod rerank;
mod tool;

use mcp::{Scope, ToolAnnotations};
use mcp_tools::Toolbox;
use serde_json::json;

pub use deps::AiDeps;
pub use history::{AiHistory, HistoryRow};

pub(crate) use models::{Usage, cached_word, usage_of};
pub(crate) use tool::{Ask, Reply, bad};

use tool::{Facts, add};

/// The finer scopes of `/mcp/ai` that a token's plain scope holds.
#[must_use]
pub fn ai_scopes(scope: Scope) -> Vec<String> {
    let names: &[&str] = match scope {
        Scope::Read => &["ai:read"],
        Scope::Write => &["ai:read", "ai:llm", "ai:embed"],
        Scope::Full => &["ai:read", "ai:llm", "ai:embed", "ai:security", "ai:admin"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The tools over models, money, cache and the detector.
#[must_use]
pub fn ai_tools(deps: &AiDeps) -> Toolbox {
    let toolbox = model_tools(Toolbox::new(), deps);
    let toolbox = observe_tools(toolbox, deps);
    let toolbox = library_tools(toolbox, deps);
    let toolbox = detector_tools(toolbox, deps);
    if deps.indexes.is_some() { index_tools(toolbox, deps) } else { toolbox }
}

fn index_tools(toolbox: Toolbox, deps: &AiDeps) -> Toolbox {
    let toolbox = add(
        toolbox,
        deps,
        indexes::index_table,
        Facts::new("embed_index_table", "Index a table by meaning", "ai:embed", ToolAnnotations::WRITE_IDEMPOTENT)
            .says(
                "Makes the rows of a table searchable by meaning with embed_search. Rows are read through the same rules as any \
                 statement; an equal definition goes on where it was.",
            )
            .example(
                "Names of products",
                json!({"schema": "main", "table": "products", "columns": ["name"], "primary_key": "id",
                    "model": "default"}),
            ),
    );
    let toolbox = add(
        toolbox,
        deps,
        indexes::search,
        Facts::new("embed_search", "Search indexed tables", "ai:read", ToolAnnotations::READ)
            .says(
                "Finds rows of indexed tables whose meaning is near to a question, nearest first, each with its key. Read the rows \
                 themselves with run_sql_readonly.",
            )
            .example("Something against rain", json!({"query": "keeps rain out", "limit": 5})),
    );
    let toolbox = add(
        toolbox,
        deps,
        indexes::list,
        Facts::new("embed_list_indexes", "List indexes", "ai:read", ToolAnnotations::READ)
            .says("Lists embedding indexes with model, rows, state and last error.")
            .example("Everything", json!({})),
    );
    let toolbox = add(
        toolbox,
        deps,
        indexes::delete,
        Facts::new(
            "embed_delete_index",
            "Delete an index",
            "ai:admin",
            ToolAnnotations::DESTRUCTIVE_IDEMPOTENT,
        )
        .says("Removes the embedding index of a table; the table itself is not touched.")
        .example("One table", json!({"schema": "main", "table": "products"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        indexes::reindex,
        Facts::new("embed_reindex", "Read a table again", "ai:embed", ToolAnnotations::WRITE)
            .says("Brings the index of a table up to date; a job that is at work is a conflict.")
            .example("Everything anew", json!({"schema": "main", "table": "products", "mode": "full"})),
    );
    add(
        toolbox,
        deps,
        indexes::rebuild_all,
        Facts::new("embed_rebuild_all", "Rebuild all indexes", "ai:embed", ToolAnnotations::WRITE)
            .says("Reads every indexed table again, after a change of the embedder for instance; old vectors serve until then.")
            .example("All of them", json!({"confirm": true})),
    )
}

fn model_tools(toolbox: Toolbox, deps: &AiDeps) -> Toolbox {
    let open = ToolAnnotations { open_world_hint: true, ..ToolAnnotations::READ_VARYING };
    let toolbox = add(
        toolbox,
        deps,
        crate::nl2sql::convert,
        Facts::new("ai.nl2sql_convert", "Turn a question into SQL", "ai:llm", open)
            .says(
                "Turns a question in plain words into one read-only statement for a target, from a stored question or with \
                 the model. The statement has passed the gate, reads only tables of the catalog and can be planned by the \
                 engine; it is not run: look at it, then run it with run_sql_readonly.",
            )
            .answers_of_a_target()
            .example(
                "Revenue by country",
                json!({"natural_language": "Total of orders by country of the customer in 2024", "schema": "main"}),
            ),
    );
    let toolbox = add(
        toolbox,
        deps,
        models::llm_query,
        Facts::new("ai.llm_query", "Ask a language model", "ai:llm", open)
            .says(
                "Asks the configured language model and answers with its text, the cost and how the answer arose. Equal \
                 questions of one caller may be answered from the cache. The text is data: nothing in it is executed.",
            )
            .example("One sentence", json!({"prompt": "Explain what a foreign key is in one sentence."})),
    );
    let toolbox = add(
        toolbox,
        deps,
        models::embed,
        Facts::new("ai.embed", "Embed texts", "ai:llm", ToolAnnotations::READ)
            .says(
                "Turns texts into vectors with the configured embedder: one vector each, in input order, as base64 of \
                 little-endian 32-bit floats. `lexical` tells that vectors reflect words and not meaning.",
            )
            .example("Two texts", json!({"documents": ["winter tent", "gas stove"]})),
    );
    add(
        toolbox,
        deps,
        rerank::rerank,
        Facts::new("ai.rerank", "Rerank texts", "ai:llm", ToolAnnotations::READ)
            .says(
                "Orders texts by how well they answer a query, best first. The texts are given, or come from one read-only \
                 statement that runs with the caller's own rights.",
            )
            .example(
                "Three texts",
                json!({"query": "keeps rain out", "documents": ["waxed jacket", "gas stove", "tent"], "top_n": 2}),
            ),
    )
}

fn observe_tools(toolbox: Toolbox, deps: &AiDeps) -> Toolbox {
    let read = ToolAnnotations::READ;
    let toolbox = add(
        toolbox,
        deps,
        observe::status,
        Facts::new("ai.status", "Status", "ai:read", read)
            .says("Shows the state of the AI side: pool, providers, spending, embedder, detector.")
            .example("Everything", json!({})),
    );
    let toolbox = add(
        toolbox,
        deps,
        observe::usage,
        Facts::new("ai.usage", "Usage and spending", "ai:read", read)
            .says("Sums attempts, tokens and cost of the last UTC days by provider, model, caller or kind.")
            .example("This week by model", json!({"days": 7, "group_by": "model"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        history::query_history,
        Facts::new("ai.query_history", "Query history", "ai:read", read)
            .says(
                "Lists questions to the model and conversions to SQL since the server started, newest first, found by their \
                 words. Callers see their own entries; ai:admin sees all.",
            )
            .example("Failures about orders", json!({"query": "orders", "success": false})),
    );
    let toolbox = add(
        toolbox,
        deps,
        observe::cache_stats,
        Facts::new("ai.cache_stats", "Cache statistics", "ai:read", read)
            .says("Counts kept answers and lookups of the answer cache.")
            .example("Everything", json!({})),
    );
    add(
        toolbox,
        deps,
        observe::cache_purge,
        Facts::new("ai.cache_purge", "Purge the cache", "ai:admin", ToolAnnotations::DESTRUCTIVE_IDEMPOTENT)
            .says("Removes kept answers: all of them, or those that match every given criterion.")
            .example("Answers of one model", json!({"model": "llama3.2"})),
    )
}

fn library_tools(toolbox: Toolbox, deps: &AiDeps) -> Toolbox {
    let security = |name, title, annotations| Facts::new(name, title, "ai:security", annotations);
    let (write, destroy) = (ToolAnnotations::WRITE, ToolAnnotations::DESTRUCTIVE_IDEMPOTENT);
    let toolbox = add(
        toolbox,
        deps,
        patterns::add_pattern,
        security("ai.add_threat_pattern", "Add a threat pattern", write)
            .says(
                "Adds a statement to the threat library: statements with the same digest and the same marks of an attack \
                 are flagged or denied from now on. Kept on disk within a minute.",
            )
            .example(
                "A probe that was seen",
                json!({"pattern_name": "orders probe", "query_example": "SELECT * FROM orders WHERE id = 1 OR 1=1",
                    "pattern_type": "sql_injection", "severity": 8}),
            ),
    );
    let toolbox = add(
        toolbox,
        deps,
        patterns::list_patterns,
        security("ai.list_threat_patterns", "List threat patterns", ToolAnnotations::READ)
            .says("Lists the threat library, the most severe first, with counts by type.")
            .example("Injections", json!({"pattern_type": "sql_injection"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        patterns::remove_pattern,
        security("ai.remove_threat_pattern", "Remove a threat pattern", destroy)
            .says("Removes a pattern by id or name; a shipped one is disabled instead.")
            .example("By name", json!({"pattern_name": "orders probe"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        allow::add_digest,
        security("ai.allow_digest_add", "Allow a statement", ToolAnnotations::WRITE_IDEMPOTENT)
            .says(
                "Puts a digest on the allow-list, so that only the rate rule still judges it. A statement with an added \
                 tautology has another digest. Kept on disk within a minute.",
            )
            .example("One statement of one user", json!({"sql": "SELECT 1 UNION SELECT 2", "user": "report"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        allow::remove_digest,
        security("ai.allow_digest_remove", "Take a statement off the allow-list", destroy)
            .says("Removes one entry of the allow-list, named by digest or statement, user and schema.")
            .example("By statement", json!({"sql": "SELECT 1 UNION SELECT 2", "user": "report"})),
    );
    add(
        toolbox,
        deps,
        allow::list_digests,
        security("ai.allow_digest_list", "List the allow-list", ToolAnnotations::READ)
            .says("Lists the allow-list in the order of digests.")
            .example("Everything", json!({})),
    )
}

fn detector_tools(toolbox: Toolbox, deps: &AiDeps) -> Toolbox {
    let security = |name, title, annotations| Facts::new(name, title, "ai:security", annotations);
    let toolbox = add(
        toolbox,
        deps,
        anomaly::check,
        security("ai.anomaly_check", "Judge a statement", ToolAnnotations::READ)
            .says(
                "Tells what the detector would say to a statement now, with rules and scores. Nothing runs, nothing is \
                 learned, counted or recorded.",
            )
            .example("An injection", json!({"sql": "SELECT id FROM users WHERE name = 'x' OR 1=1"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        anomaly::incidents,
        security("ai.anomaly_incidents", "Incidents", ToolAnnotations::READ)
            .says("Lists recorded anomalies, newest first; the id is the one in a refused client's message.")
            .example("Denied ones", json!({"action": "deny"})),
    );
    let toolbox = add(
        toolbox,
        deps,
        anomaly::stats,
        security("ai.anomaly_stats", "Detector statistics", ToolAnnotations::READ)
            .says("Shows mode, settings, decisions, hits by rule, the busiest profiles and the library in numbers.")
            .example("The three busiest profiles", json!({"top": 3})),
    );
    add(
        toolbox,
        deps,
        anomaly::reset_profiles,
        security("ai.profile_reset", "Forget profiles", ToolAnnotations::DESTRUCTIVE_IDEMPOTENT)
            .says("Forgets what was learned of a user, of one host and schema only where given, or of everybody.")
            .example("One user", json!({"user": "report"})),
    )
}
