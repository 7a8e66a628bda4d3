//! The sample's documents: products and what buyers say of them, so that retrieval answers on the first run.

use ai_core_rag::{RagCaller, SourceConfig, SyncRequest};
use bridge_host::Host;
use serde_json::json;

use crate::sample;

/// Creates the sources on the first run and starts their first sync in the background.
pub(crate) fn ensure(host: &Host) -> Result<(), Box<dyn std::error::Error>> {
    let mut created = Vec::new();
    for source in [products(), reviews()] {
        let source: SourceConfig = serde_json::from_value(source)?;
        if host.ensure_source(&source)? {
            created.push(source.name);
        }
    }
    if !created.is_empty() {
        let request = SyncRequest { source_names: created, ..SyncRequest::default() };
        host.rag().sync(&RagCaller::named("host"), &request)?;
    }
    Ok(())
}

fn products() -> serde_json::Value {
    json!({
        "name": "products", "backend_type": "sqlite", "target_id": sample::TARGET, "table_name": "products", "pk_column": "id",
        "doc_map_json": {"title": {"concat": [{"col": "name"}]}, "body": {"concat": [{"col": "description"}]},
                         "metadata": {"pick": ["sku", "list_price", "category_id"]}, "language": "en"},
        "embedding_json": {"enabled": true, "provider": "builtin"}
    })
}

fn reviews() -> serde_json::Value {
    json!({
        "name": "reviews", "backend_type": "sqlite", "target_id": sample::TARGET, "table_name": "tblReviews", "pk_column": "ReviewID",
        "where_sql": "\"Body\" IS NOT NULL",
        "doc_map_json": {"title": {"concat": [{"lit": "Review of product "}, {"col": "ProductID"}]}, "body": {"concat": [{"col": "Body"}]},
                         "metadata": {"pick": ["ProductID", "Stars"]}, "language": "en"},
        "embedding_json": {"enabled": true, "provider": "builtin"}
    })
}
