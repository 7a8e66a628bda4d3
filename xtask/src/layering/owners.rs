//! Which crates may name a heavy third-party crate; whoever else needs one goes through an owner's trait.

use super::groups::{self, Group};
use crate::metadata::{Graph, Package};

/// A heavy crate, the workspace crates that may name it, and whether every example may.
struct Heavy {
    name: &'static str,
    owners: &'static [&'static str],
    examples: bool,
}

const fn heavy(name: &'static str, owners: &'static [&'static str], examples: bool) -> Heavy {
    Heavy { name, owners, examples }
}

/// Adding an owner is a decision about everybody's build time: see the check-list in CONTRIBUTING.md.
const HEAVY: &[Heavy] = &[
    heavy(
        "rusqlite",
        // The bridge crates and the gateway make databases in their tests only.
        &[
            "harvest_sqlite",
            "harvest_gateway",
            "harvest_catalog",
            "mcp_config",
            "mcp_tools",
            "ai_core_rag",
            "bridge_ai",
            "bridge_host",
        ],
        true,
    ),
    heavy("sqlite-vec", &["harvest_catalog", "ai_core_rag"], false),
    heavy("tantivy", &["ai_core_rag_tantivy"], false),
    heavy("ureq", &["ai_core_llm"], false),
    heavy("mysql", &["harvest_mysql", "harvest_gateway", "bridge_host"], true),
    heavy("postgres", &["harvest_postgres", "harvest_gateway", "ai_core_rag_postgres", "bridge_host"], true),
    heavy("tokio-postgres", &["harvest_postgres", "ai_core_rag_postgres"], true),
    heavy("sqlparser", &["harvest_gate", "harvest_gateway"], false),
    heavy("jsonrpsee", &["mcp_server"], false),
    heavy("jsonrpsee-core", &["mcp_server"], false),
    heavy("jsonrpsee-types", &["mcp_server"], false),
    heavy("tokio", &["mcp_server"], true),
    heavy("hyper", &["mcp_server"], true),
    heavy("candle-core", &["ai_core_embed_local"], false),
    heavy("candle-nn", &["ai_core_embed_local"], false),
    heavy("candle-transformers", &["ai_core_embed_local"], false),
    heavy("tokenizers", &["ai_core_embed_local"], false),
    heavy("pgwire", &[], true),
    heavy("opensrv-mysql", &[], true),
    heavy("rmcp", &["mcp_server"], true),
];

/// Reports every declaration of a heavy crate outside its owners, dev- and optional ones too.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in graph.members() {
        for declared in &package.declared {
            let Some(heavy) = HEAVY.iter().find(|heavy| heavy.name == declared.package) else { continue };
            if may_name(graph, package, heavy) {
                continue;
            }
            let how = groups::describe(declared);
            let mut owners: Vec<&str> = heavy.owners.to_vec();
            if heavy.examples {
                owners.push("examples");
            }
            findings.push(format!(
                "`{}` names `{}` ({how}): only {} may",
                package.name,
                heavy.name,
                owners.join(", ")
            ));
        }
    }
    findings
}

fn may_name(graph: &Graph, package: &Package, heavy: &Heavy) -> bool {
    heavy.owners.contains(&package.name.as_str())
        || (heavy.examples && Group::of(graph, package) == Some(Group::Examples))
}
