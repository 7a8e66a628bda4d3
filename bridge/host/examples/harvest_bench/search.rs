//! Times of searches and lists over a harvested schema, and what they weigh; it knows no engine.

use std::time::Instant;

use bridge_host::Host;
use harvest_catalog::{ListObjectsRequest, SearchRequest};

use crate::Fail;

const QUERIES: &[&str] = &[
    "customer",
    "invoice detail",
    "payment history",
    "unpaid invoices of a customer",
    "shipment status",
    "amount currency",
    "email",
    "coupon map",
    "employee department",
    "started session",
];
const ROUNDS: usize = 20;

pub(crate) fn report(host: &Host, run_id: i64) -> Result<(), Fail> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for query in QUERIES {
        let mut request = SearchRequest::new(run_id, "t", *query);
        request.limit = 10;
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let found = host.catalog().search(&request)?;
            times.push(started.elapsed().as_secs_f64() * 1_000.0);
            bytes = bytes.max(serde_json::to_string(&found)?.len());
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "  search: p50 {:.2} ms, p95 {:.2} ms, ten hits in at most {bytes} bytes before they are cut",
        times[times.len() / 2],
        times[times.len() * 95 / 100]
    );
    let mut request = ListObjectsRequest::new(run_id, "t");
    request.limit = 1_000;
    let started = Instant::now();
    let listed = host.catalog().list_objects(&request)?.results.len();
    println!("  list of {listed} objects: {:.1} ms", started.elapsed().as_secs_f64() * 1_000.0);
    Ok(())
}
