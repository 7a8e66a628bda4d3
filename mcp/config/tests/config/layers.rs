//! Verbs: every spelling in every case moves rows in its direction and leaves the other layers alone.

use crate::world::World;

#[test]
fn a_first_walk_through_all_layers() {
    let world = World::new();
    assert_eq!(world.one("SELECT @@mcp-port"), "6071");
    world.run("SET mcp-port = 6080");
    assert_eq!(
        world.one("SELECT variable_value FROM global_variables WHERE variable_name = 'mcp-port'"),
        "6080"
    );
    assert_eq!(
        world.one("SELECT variable_value FROM runtime_global_variables WHERE variable_name = 'mcp-port'"),
        "6071"
    );
    let reply = world.run("load mcp variables to runtime;");
    assert!(reply.report.unwrap().contains("not listening"));
    assert_eq!(
        world.one("SELECT variable_value FROM runtime_global_variables WHERE variable_name = 'mcp-port'"),
        "6080"
    );
    assert_eq!(
        world.one("SELECT variable_value FROM disk.global_variables WHERE variable_name = 'mcp-port'"),
        "6071"
    );
    world.run("SAVE MCP VARIABLES TO DISK");
    world.run(
        "INSERT INTO mcp_query_rules (rule_id, active, match_pattern, error_msg) VALUES (5, 1, 'DROP', 'no')",
    );
    world.run("LOAD MCP QUERY RULES TO RUNTIME");
    assert_eq!(world.one("SELECT rule_id, username, apply FROM runtime_mcp_query_rules"), "5|NULL|1");
    world.run("SAVE MCP QUERY RULES FROM MEM");
    let again = world.again();
    assert_eq!(again.one("SELECT @@mcp-port"), "6080");
    assert_eq!(again.one("SELECT match_pattern FROM runtime_mcp_query_rules"), "DROP");
}
