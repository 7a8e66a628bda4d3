//! Tests of column rules in tools that show structure: what is hidden is nowhere, and no value is told of what is guarded.

use harvest_gateway::{ColumnAction, ColumnRule};
use mcp::ResourceProvider as _;

use super::*;

/// Names that must be nowhere, and values that only guarded columns hold.
const HIDDEN: &[&str] = &["ssn", "123-45-6789"];

fn guarded() -> Shop {
    let mut shop = shop();
    shop.change(
        "CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT, ssn TEXT DEFAULT '123-45-6789' UNIQUE,
           grade TEXT DEFAULT 'A9' CHECK (grade IN ('A9', 'B8')), level TEXT GENERATED ALWAYS AS (grade || 'x') VIRTUAL,
           boss_ssn TEXT REFERENCES staff(ssn));
         CREATE INDEX ix_ssn ON staff(ssn); CREATE INDEX ix_grade ON staff(name) WHERE grade = 'A9';
         CREATE VIEW known_staff AS SELECT id, name FROM staff WHERE ssn <> '123-45-6789';
         INSERT INTO staff (name) VALUES ('ann');",
    );
    shop.harvest();
    shop.call(
        "fts_index_table",
        json!({"schema": "main", "table": "staff", "columns": ["name", "grade"], "primary_key": ["id"]}),
    );
    shop.call(
        "fts_index_table",
        json!({"schema": "main", "table": "order_items", "columns": ["description"], "primary_key": ["id"]}),
    );
    let mut settings = Settings::clone(&shop.deps.tools.gateway.settings());
    settings.column_rules = vec![
        ColumnRule::new("staff", "*ssn", ColumnAction::Deny),
        ColumnRule::new("staff", "grade", ColumnAction::Mask),
    ];
    shop.deps.tools.gateway.set_settings(settings);
    shop.tools = crate::add_query_tools(shop.tools, &shop.deps.tools);
    shop
}

fn hidden(tool: &str, answer: &Value) {
    let text = answer.to_string();
    for word in HIDDEN.iter().chain(&["A9", "B8"]) {
        assert!(!text.contains(word), "{tool} tells {word:?}: {text}");
    }
}

#[test]
fn tools_of_structure_name_no_hidden_column_and_tell_no_guarded_value() {
    let shop = guarded();
    let calls = [
        ("describe_table", json!({"schema": "main", "table": "staff"})),
        ("describe_table", json!({"schema": "main", "table": "staff", "source": "catalog"})),
        ("get_constraints", json!({"schema": "main"})),
        ("get_constraints", json!({"schema": "main", "source": "catalog"})),
        ("describe_view", json!({"schema": "main", "view": "known_staff"})),
        ("describe_view", json!({"schema": "main", "view": "known_staff", "source": "catalog"})),
        ("table_profile", json!({"schema": "main", "table": "staff"})),
        ("table_profile", json!({"schema": "main", "table": "staff", "mode": "full"})),
        (
            "catalog.get_object",
            json!({"object_key": "main.staff", "include_definition": true, "include_llm": true}),
        ),
        ("catalog.get_object", json!({"object_key": "main.known_staff", "include_definition": true})),
        ("catalog.get_relationships", json!({"object_key": "main.staff"})),
        ("suggest_joins", json!({"schema": "main", "table_a": "staff"})),
        ("catalog.list_objects", json!({})),
    ];
    for (tool, arguments) in calls {
        let answer = shop.call(tool, arguments);
        hidden(tool, &answer);
    }
    let resources = crate::CatalogResources::new(&shop.deps);
    for uri in ["schema://shop/main/staff", "schema://shop/main", "schema://shop/main/known_staff"] {
        let contents = resources.read(&context(), uri).unwrap();
        hidden(uri, &Value::from(contents[0].text.clone().unwrap()));
    }
    // What is masked may be known by name, and the rest of the table is of use.
    let table = shop.call("describe_table", json!({"schema": "main", "table": "staff"}));
    let names: Vec<&str> =
        table["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["id", "name", "grade", "level"]);
    let full = shop.call("table_profile", json!({"schema": "main", "table": "staff", "mode": "full"}));
    assert_eq!(full["column_stats"]["name"]["max"], "ann");
    assert!(full["column_stats"].get("grade").is_none());
}

#[test]
fn searches_do_not_tell_of_hidden_columns() {
    let shop = guarded();
    let found = shop.call("catalog.search", json!({"query": "ssn"}));
    assert_eq!(found["results"], json!([]), "{found}");
    let found = shop.call("catalog.search", json!({"query": "staff"}));
    assert!(found["results"].as_array().unwrap().iter().any(|hit| hit["object_name"] == "staff"));
    let error = shop.fails("fts_search", json!({"query": "ann"}));
    assert_eq!((error.code, &error.details["reason"]), (ErrorCode::PermissionDenied, &json!("column_rule")));
    let open = shop.call("fts_search", json!({"query": "ann", "table": "order_items"}));
    assert_eq!(open["results"], json!([]));
    // Another caller has other rules: none.
    let mut settings = Settings::clone(&shop.deps.tools.gateway.settings());
    settings.column_rules.iter_mut().for_each(|rule| rule.caller = "bob".to_owned());
    shop.deps.tools.gateway.set_settings(settings);
    assert!(!shop.call("catalog.search", json!({"query": "ssn"}))["results"].as_array().unwrap().is_empty());
    assert_eq!(shop.call("fts_search", json!({"query": "ann"}))["total_matches"], 1);
}
