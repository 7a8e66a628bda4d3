//! Search over objects: spelling, fallback, filters, budgets, and no input that is an error.

use proptest::prelude::*;

use super::support::{harvest, shop, store};
use crate::SearchRequest;

fn keys(t: &super::support::TestStore, request: &SearchRequest) -> Vec<String> {
    t.catalog.search(request).expect("search").results.into_iter().map(|h| h.object_key).collect()
}

#[test]
fn words_find_objects_in_every_spelling() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let find = |query: &str| keys(&t, &SearchRequest::new(run, "a", query));
    assert_eq!(find("customer")[0], "shop.customers");
    assert_eq!(find("customers")[0], "shop.customers");
    assert_eq!(find("orderItems"), ["shop.order_items"]);
    assert_eq!(find("full name"), ["shop.customers"]);
    assert_eq!(find("\"electronic mail\""), ["shop.customers"]);
    assert_eq!(find("purch*"), ["shop.orders"]);
    assert_eq!(find("shipped"), ["shop.open_orders"]);
    assert!(find("zebra").is_empty() && find("").is_empty() && find("* ( \"").is_empty());
    let mut request = SearchRequest::new(run, "a", "shipped");
    request.include_definition_hits = false;
    assert!(keys(&t, &request).is_empty());
    let mut request = SearchRequest::new(run, "a", "order");
    request.object_type = Some("view".into());
    assert_eq!(keys(&t, &request), ["shop.open_orders"]);
}

#[test]
fn some_words_are_better_than_none() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let hits =
        t.catalog.search(&SearchRequest::new(run, "a", "purchase zebra email")).expect("search").results;
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|h| h.score < 0.9 && h.score > 0.0));
    let all = t.catalog.search(&SearchRequest::new(run, "a", "purchase")).expect("search").results;
    assert_eq!((all[0].score, all[0].matched_in.as_slice()), (1.0, ["comment".to_owned()].as_slice()));
}

#[test]
fn pages_and_budgets_cut_a_list() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let mut request = SearchRequest::new(run, "a", "id");
    let all = keys(&t, &request);
    assert_eq!(all.len(), 4);
    request.limit = 3;
    let first = t.catalog.search(&request).expect("first");
    assert_eq!(first.next_offset, Some(3));
    request.offset = 3;
    let second = t.catalog.search(&request).expect("second");
    assert_eq!((second.results.len(), second.next_offset), (1, None));
    let mut request = SearchRequest::new(run, "a", "id");
    request.token_budget = Some(70);
    let cut = t.catalog.search(&request).expect("cut");
    assert!(!cut.results.is_empty() && cut.results.len() < 4);
    assert_eq!(cut.next_offset, Some(cut.results.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_query_is_an_error(queries in proptest::collection::vec("(?s).{0,60}|[\"*()^:+{}\\- ANDORNEAR]{0,30}", 1..4)) {
        let t = store();
        let run = harvest(&t.catalog, "a", shop()).run_id;
        for query in queries {
            for definitions in [true, false] {
                let mut request = SearchRequest::new(run, "a", query.clone());
                request.include_definition_hits = definitions;
                prop_assert!(t.catalog.search(&request).is_ok(), "{}", query);
            }
        }
    }
}
