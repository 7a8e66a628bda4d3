//! The table of language model providers: its columns, and its rows as the model side reads them; it calls no provider.

use ai_core_llm::{ProviderRow, SecretResolver};
use mcp_config::{Candidate, Cell, ColumnDef, ConfigResult, ModuleDef, Row, RowView, TableDef, refused};
use serde_json::{Map, Value, json};

use super::GenaiConfig;

/// Key of the module in reports.
pub(super) const PROVIDERS: &str = "providers";
/// Name of the table.
pub(super) const TABLE: &str = "genai_llm_providers";
/// Rows at most.
const ROWS_MAX: usize = 1_000;

const fn col(name: &'static str, decl: &'static str) -> ColumnDef {
    ColumnDef { name, decl }
}

/// Providers beside the one named `default`, which the variables make.
const LLM_PROVIDERS: TableDef = TableDef {
    name: TABLE,
    columns: &[
        col("name", "TEXT NOT NULL"),
        col("provider", "TEXT NOT NULL"),
        col("url", "TEXT NOT NULL"),
        col("model", "TEXT NOT NULL"),
        col("auth_ref", "TEXT NULL"),
        col("locality", "TEXT NOT NULL DEFAULT 'auto'"),
        col("price_input", "REAL NULL"),
        col("price_output", "REAL NULL"),
        col("priority", "INTEGER NOT NULL DEFAULT 0"),
        col("max_concurrency", "INTEGER NOT NULL DEFAULT 0 CHECK (@ >= 0)"),
        col("context_tokens", "INTEGER NOT NULL DEFAULT 0 CHECK (@ >= 0)"),
        col("capabilities", "TEXT NULL"),
        col("options_json", "TEXT NULL"),
        col("active", "INTEGER NOT NULL DEFAULT 1 CHECK (@ IN (0, 1))"),
        col("comment", "TEXT NOT NULL DEFAULT ''"),
    ],
    key: &["name"],
    secret: None,
    hashed: false,
    runtime_columns: &[
        col("effective", "INTEGER"),
        col("skip_reason", "TEXT"),
        col("breaker", "TEXT"),
        col("attempts", "INTEGER"),
        col("failures", "INTEGER"),
    ],
};

/// The modules of the family beside its variables.
pub(super) const MODULES: &[ModuleDef] =
    &[ModuleDef { key: PROVIDERS, words: "PROVIDERS", tables: &[&LLM_PROVIDERS] }];

/// How a provider does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderState {
    /// Whether its breaker refuses calls now.
    pub breaker_open: bool,
    /// HTTP attempts.
    pub attempts: u64,
    /// HTTP attempts that failed.
    pub failures: u64,
}

impl ProviderState {
    /// A state.
    #[must_use]
    pub fn new(breaker_open: bool, attempts: u64, failures: u64) -> Self {
        Self { breaker_open, attempts, failures }
    }
}

/// Why a row is not in use; empty when it is.
pub(super) fn skip_reason(row: &RowView<'_>) -> &'static str {
    if row.flag("active") { "" } else { "inactive" }
}

/// Live columns of a row.
pub(super) fn live(row: &RowView<'_>, state: Option<&ProviderState>) -> Vec<(&'static str, Cell)> {
    let reason = skip_reason(row);
    let number = |n: u64| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let mut live =
        vec![("effective", Cell::Integer(i64::from(reason.is_empty()))), ("skip_reason", Cell::text(reason))];
    if let Some(state) = state {
        live.push(("breaker", Cell::text(if state.breaker_open { "open" } else { "closed" })));
        live.push(("attempts", number(state.attempts)));
        live.push(("failures", number(state.failures)));
    }
    live
}

/// The provider that the variables make, as a row with its live columns.
pub(super) fn default_row(config: &GenaiConfig, state: Option<&ProviderState>) -> Row {
    let active = config.llm.enabled && config.llm.llm_enabled;
    let text = |name: &str| Cell::text(config.get(name).unwrap_or_default());
    let price = |usd: f64| if usd < 0.0 { Cell::Null } else { Cell::Real(usd) };
    let state = state.cloned().unwrap_or_default();
    let number = |n: u64| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    vec![
        Cell::text("default"),
        text("llm_provider"),
        text("llm_provider_url"),
        text("llm_provider_model"),
        text("llm_provider_key"),
        text("llm_provider_locality"),
        price(config.llm.llm_price_input_usd_per_mtok),
        price(config.llm.llm_price_output_usd_per_mtok),
        Cell::Integer(0),
        Cell::Integer(0),
        Cell::Integer(0),
        Cell::Null,
        Cell::Null,
        Cell::Integer(i64::from(active)),
        Cell::text("the variables genai-llm_provider*"),
        Cell::Integer(i64::from(active)),
        Cell::text(if active { "" } else { "genai-llm_enabled is off" }),
        Cell::text(if state.breaker_open { "open" } else { "closed" }),
        number(state.attempts),
        number(state.failures),
    ]
}

/// The rows of a candidate. Every bad row is named in the refusal.
pub(super) fn rows(
    candidate: &Candidate,
    profiles: Option<&dyn SecretResolver>,
) -> ConfigResult<Vec<ProviderRow>> {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for row in candidate.rows(TABLE) {
        let columns: Map<String, Value> = LLM_PROVIDERS
            .columns
            .iter()
            .map(|column| (column.name.to_owned(), json_of(row.cell(column.name))))
            .collect();
        match ProviderRow::from_columns(&columns, profiles) {
            Ok(row) => found.push(row),
            Err(why) => faults.extend(why),
        }
    }
    if found.len() > ROWS_MAX {
        faults.push(format!("{} providers, at most {ROWS_MAX} are allowed", found.len()));
    }
    if faults.is_empty() { Ok(found) } else { Err(refused(PROVIDERS, None, faults.join("; "))) }
}

fn json_of(cell: &Cell) -> Value {
    match cell {
        Cell::Integer(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Null | Cell::Blob(_) => Value::Null,
    }
}
