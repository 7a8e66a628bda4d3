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
    assert!(reply.report.expect("holds").contains("not listening"));
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

const MODULES: &[&str] =
    &["VARIABLES", "BACKENDS", "PROFILES", "QUERY RULES", "COLUMN RULES", "COST RULES", "TOKENS"];
const TOKEN: &str = "a planted token of good length";

/// Gives each layer of a module a content of its own: memory one, runtime another, disk a third.
fn three_layers(world: &World, module: &str) {
    let change = |step: u32| {
        match module {
        "VARIABLES" => world.run(&format!("SET mcp-port = {}", 6000 + step)),
        "BACKENDS" => world.run(&format!("INSERT INTO mcp_backends (hostname, port) VALUES ('h', {step})")),
        "PROFILES" => world.run(&format!("INSERT INTO mcp_auth_profiles VALUES ('p{step}', 'u', 'pw', '', 0, '', '', '')")),
        "QUERY RULES" => world.run(&format!("INSERT INTO mcp_query_rules (rule_id) VALUES ({step})")),
        "COLUMN RULES" => {
            world.run(&format!("INSERT INTO mcp_column_rules (rule_id, action) VALUES ({step}, 'mask')"))
        }
        "COST RULES" => world
            .run(&format!("INSERT INTO mcp_cost_rules (rule_id, max_estimated_rows) VALUES ({step}, {step})")),
        _ => world.run(&format!(
            "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('query', 't{step}', '{TOKEN} {step}')"
        )),
    }
    };
    change(1);
    world.run(&format!("SAVE MCP {module} TO DISK"));
    change(2);
    world.run(&format!("LOAD MCP {module} TO RUNTIME"));
    change(3);
}

/// Upper, lower and mixed letters, more blanks, a semicolon.
fn spellings(verb: &str) -> Vec<String> {
    let mixed: String = verb
        .chars()
        .enumerate()
        .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() })
        .collect();
    vec![verb.to_owned(), verb.to_lowercase(), format!("  {};  ", mixed.replace(' ', " \t\n "))]
}

#[test]
fn every_verb_in_every_spelling_moves_in_its_direction() {
    let moves: &[(&str, &[&str], &str, &str)] = &[
        ("LOAD", &["TO RUNTIME", "TO RUN", "FROM MEMORY", "FROM MEM"], "MEMORY", "RUNTIME"),
        ("LOAD", &["TO MEMORY", "TO MEM", "FROM DISK"], "DISK", "MEMORY"),
        ("SAVE", &["TO MEMORY", "TO MEM", "FROM RUNTIME", "FROM RUN"], "RUNTIME", "MEMORY"),
        ("SAVE", &["TO DISK", "FROM MEMORY", "FROM MEM"], "MEMORY", "DISK"),
    ];
    for module in MODULES {
        for (verb, tails, from, to) in moves {
            for tail in *tails {
                let world = World::new();
                three_layers(&world, module);
                let sums = || ["DISK", "MEMORY", "RUNTIME"].map(|layer| (layer, world.sum(layer, module)));
                let before = sums();
                assert!(before[0].1 != before[1].1 && before[1].1 != before[2].1, "{module}: {before:?}");
                for spelling in spellings(&format!("{verb} MCP {module} {tail}")) {
                    let applied = *world.runtime.applied.lock().expect("holds");
                    let reply = world.run(&spelling);
                    assert!(reply.report.is_some());
                    let ran = *world.runtime.applied.lock().expect("holds") > applied;
                    assert_eq!(ran, *to == "RUNTIME", "{spelling}");
                }
                let after = sums();
                let of = |all: &[(&str, String); 3], layer: &str| {
                    all.iter().find(|(name, _)| *name == layer).map(|(_, sum)| sum.clone())
                };
                assert_eq!(of(&after, from), of(&after, to), "{verb} {module} {tail}");
                for layer in ["DISK", "MEMORY", "RUNTIME"].iter().filter(|layer| *layer != to) {
                    // Tokens are hashed in memory on their way out, which is the one change of a source.
                    if *module != "TOKENS" || *layer != "MEMORY" {
                        assert_eq!(of(&before, layer), of(&after, layer), "{verb} {module} {tail}: {layer}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_come_back_byte_for_byte() {
    let world = World::new();
    let odd = "it''s \"so\";\n\ttwo 雪🦀 \\ %";
    world.run(&format!(
        "INSERT INTO mcp_query_rules VALUES (9223372036854775807, 1, NULL, '', '{odd}', NULL, '{odd}', 0, '', 0, \
         9007199254740993, NULL, NULL, '{odd}', NULL, NULL, 0, '', NULL, NULL)"
    ));
    world.run(&format!(
        "INSERT INTO mcp_auth_profiles VALUES ('{odd}', 'u', '{odd}', '', 0, '', '{odd}', '')"
    ));
    world.run(&format!(
        "INSERT INTO mcp_target_profiles VALUES ('{odd}', 'MySQL', 3, '{odd}', '', 1, 0, 1, 0, 1, '', NULL)"
    ));
    world.run(&format!("INSERT INTO mcp_backends VALUES (3, '{odd}', 0, 0, 'SHUNNED', 1, 1, '')"));
    world.run("UPDATE global_variables SET variable_value = 'a\nb ''c''' WHERE variable_name = 'mcp-allowed_origins'");
    let tables =
        ["mcp_query_rules", "mcp_auth_profiles", "mcp_target_profiles", "mcp_backends", "global_variables"];
    for module in MODULES {
        world.run(&format!("LOAD MCP {module} TO RUNTIME"));
    }
    let read = |of: &str| tables.map(|table| world.rows(&format!("SELECT * FROM {of}{table}")));
    let before = read("");
    let sums: Vec<_> = MODULES.iter().map(|module| world.sum("MEMORY", module)).collect();
    assert!(before[0][0].starts_with("9223372036854775807|1|NULL||it's"), "{before:?}");
    for verb in
        ["SAVE MCP # TO MEMORY", "SAVE MCP # TO DISK", "LOAD MCP # TO MEMORY", "LOAD MCP # TO RUNTIME"]
    {
        for (module, sum) in MODULES.iter().zip(&sums) {
            world.run(&verb.replace('#', module));
            for layer in ["MEMORY", "RUNTIME"] {
                assert_eq!(world.sum(layer, module), *sum, "{verb} {module}");
            }
        }
        assert_eq!(read(""), before, "{verb}");
    }
    assert_eq!(read("disk."), before);
    assert_eq!(world.again().rows("SELECT * FROM mcp_query_rules"), before[0]);
    let seen = world.runtime.seen.lock().expect("holds").clone().expect("holds");
    let password = seen.rows("mcp_auth_profiles").next().expect("holds").text("db_password").to_owned();
    assert_eq!(password, odd.replace("''", "'"));
}

#[test]
fn what_is_refused_changes_nothing() {
    let world = World::new();
    world.run("INSERT INTO mcp_query_rules (rule_id) VALUES (1)");
    world.run("LOAD MCP QUERY RULES TO RUNTIME");
    world.run("SET mcp-port = 7000");
    let sums = |world: &World| {
        ["DISK", "MEMORY", "RUNTIME"]
            .map(|layer| MODULES.iter().map(|m| world.sum(layer, m)).collect::<Vec<_>>())
    };
    let before = sums(&world);
    *world.runtime.refuses.lock().expect("holds") = Some("the port is busy".to_owned());
    for verb in ["LOAD MCP VARIABLES TO RUNTIME", "LOAD MCP QUERY RULES TO RUN"] {
        assert!(world.fails(verb).message.contains("the port is busy"));
    }
    assert_eq!(sums(&world), before);
    *world.runtime.refuses.lock().expect("holds") = None;
    for (change, word) in [
        ("INSERT INTO global_variables VALUES ('mcp-nothing', '1')", "mcp-nothing is unknown"),
        ("DELETE FROM global_variables WHERE variable_name = 'mcp-timeout_ms'", "mcp-timeout_ms is missing"),
        (
            "UPDATE global_variables SET variable_value = 'x' WHERE variable_name = 'mcp-use_ssl'",
            "mcp-use_ssl takes true or false",
        ),
        (
            "UPDATE global_variables SET variable_value = '/x' WHERE variable_name = 'mcp-data_dir'",
            "decided at start",
        ),
    ] {
        let world = World::new();
        let running = world.sum("RUNTIME", "VARIABLES");
        world.run(change);
        let error = world.fails("LOAD MCP VARIABLES TO RUNTIME");
        assert!(error.message.contains(word), "{change}: {error}");
        assert_eq!(world.sum("RUNTIME", "VARIABLES"), running);
    }
    world.run("DELETE FROM mcp_query_rules");
    world.run("LOAD MCP QUERY RULES TO RUNTIME");
    assert_eq!(world.one("SELECT count(*) FROM runtime_mcp_query_rules"), "0");
}

#[test]
fn profiles_are_checked_and_skipped_targets_named() {
    let world = World::new();
    world.run(
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('a', 'u', 'p')",
    );
    world.run(
        "INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id, active, admin_auth_profile_id) \
         VALUES ('t1', 'PGSQL', 1, 'a', 1, NULL), ('t2', 'mysql', 1, 'b', 1, NULL), ('t3', 'mysql', 1, 'a', 0, NULL), \
         ('t4', 'mysql', 1, 'a', 1, 'z')",
    );
    let report = world.run("LOAD MCP PROFILES TO RUNTIME").report.expect("holds");
    for part in [
        "1 auth profiles, 1 of 4 targets effective",
        "t2 skipped: auth_profile_id not found",
        "t3 skipped: inactive",
        "t4 skipped: admin_auth_profile_id not found",
    ] {
        assert!(report.contains(part), "{report}");
    }
    assert_eq!(world.one("SELECT protocol FROM mcp_target_profiles WHERE target_id = 't1'"), "pgsql");
    for (change, word) in [
        ("UPDATE mcp_auth_profiles SET db_password = 'env:PENSTOCK_NO_SUCH_NAME'", "PENSTOCK_NO_SUCH_NAME"),
        ("UPDATE mcp_auth_profiles SET use_ssl = 1, ssl_mode = 'disabled'", "contradicts"),
        ("UPDATE mcp_auth_profiles SET ssl_mode = 'sometimes'", "ssl_mode"),
        ("UPDATE mcp_target_profiles SET protocol = 'oracle'", "oracle"),
    ] {
        let world = World::new();
        world.run("INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('a', 'u', 'p')");
        world.run("INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id) VALUES ('t', 'mysql', 1, 'a')");
        world.run(change);
        let error = world.fails("LOAD MCP PROFILES TO RUNTIME");
        assert!(error.message.contains(word) && error.details["module"] == "profiles", "{change}: {error}");
        assert_eq!(world.one("SELECT count(*) FROM runtime_mcp_target_profiles"), "0");
    }
}

#[test]
fn the_configuration_file_is_taken_whole_or_not_at_all() {
    let dir = std::sync::Arc::new(tempfile::tempdir().expect("holds"));
    let file = dir.path().join("penstock.toml");
    let write = |port: u32| {
        let text = format!(
            "[mcp.variables]\nport = {port}\nmcp-allowed_origins = \"https://a.example\"\n\
             [[mcp.query_rules]]\nrule_id = 4\nactive = true\ncomment = \"from the file\"\n\
             [[mcp.tokens]]\nendpoint = \"query\"\ntoken_name = \"ops\"\ntoken = \"{TOKEN}\"\n"
        );
        std::fs::write(&file, text).expect("holds");
    };
    write(6100);
    let world = World::over(std::sync::Arc::clone(&dir), Some(&file));
    assert_eq!(world.one("SELECT @@mcp-port"), "6100");
    assert_eq!(world.one("SELECT comment FROM runtime_mcp_query_rules"), "from the file");
    assert_eq!(world.one("SELECT comment FROM disk.mcp_query_rules"), "from the file");
    assert_eq!(world.admin.get_variable("port").expect("holds").origin.as_str(), "config_file");
    write(6200);
    world.run("INSERT INTO mcp_query_rules (rule_id) VALUES (9)");
    world.run("LOAD MCP VARIABLES FROM CONFIG");
    assert_eq!(world.admin.get_variable("port").expect("holds").value, "6200");
    world.run("load mcp query rules from config");
    assert_eq!(world.one("SELECT count(*) FROM runtime_mcp_query_rules"), "2");
    write(99_999);
    let memory = world.sum("MEMORY", "VARIABLES");
    assert!(world.fails("LOAD MCP VARIABLES FROM CONFIG").message.contains("65535"));
    assert_eq!(world.sum("MEMORY", "VARIABLES"), memory);
    let bytes = std::fs::read(dir.path().join("mcp_config.db")).expect("holds");
    assert!(!bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()), "a plain token is on disk");
}

#[test]
fn one_cell_changes_in_the_layers_asked_for_and_nowhere_else() {
    use mcp_config::{AdminSession, Cell, Persist};
    let world = World::new();
    world.run("INSERT INTO mcp_query_rules (rule_id, active, cache_ttl_ms) VALUES (1, 1, NULL), (2, 1, 5)");
    world.run("LOAD MCP QUERY RULES TO RUNTIME");
    world.run("SAVE MCP QUERY RULES TO DISK");
    let set = |id: i64, column: &str, value: i64, persist| {
        let place = ("mcp_query_rules", &[Cell::Integer(id)][..]);
        world.admin.set_cell(&AdminSession::local(), place, (column, Cell::Integer(value)), persist)
    };
    let ttl = |layer: &str| {
        world.rows(&format!("SELECT cache_ttl_ms FROM {layer}mcp_query_rules ORDER BY rule_id")).join(",")
    };
    assert!(set(1, "cache_ttl_ms", 10, Persist::Runtime).expect("holds").is_null());
    assert_eq!((ttl("runtime_"), ttl(""), ttl("disk.")), ("10,5".into(), "NULL,5".into(), "NULL,5".into()));
    let seen = world.runtime.seen.lock().expect("holds").as_ref().and_then(|seen| seen.only_column);
    assert_eq!(seen, Some("cache_ttl_ms"));
    assert!(set(2, "cache_ttl_ms", 20, Persist::Disk).expect("holds") == Cell::Integer(5));
    assert_eq!(
        (ttl("runtime_"), ttl(""), ttl("disk.")),
        ("10,20".into(), "NULL,20".into(), "NULL,20".into())
    );
    assert_eq!(set(9, "cache_ttl_ms", 1, Persist::Disk).expect_err("no row").code, mcp::ErrorCode::NotFound);
    assert!(set(1, "no_column", 1, Persist::Disk).is_err());
    *world.runtime.refuses.lock().expect("holds") = Some("not now".to_owned());
    assert!(set(2, "cache_ttl_ms", 30, Persist::Disk).is_err());
    assert_eq!((ttl("runtime_"), ttl("disk.")), ("10,20".into(), "NULL,20".into()), "refused whole");
}

#[test]
fn a_table_that_the_host_keeps_is_mirrored_and_read_only() {
    use mcp_config::{
        AdminOptions, AdminSession, AdminSql, Applied, BACKENDS, Candidate, Cell, ConfigResult, Row, Runtime,
    };
    use std::sync::{Arc, Mutex};
    struct Keeper(Mutex<Vec<&'static str>>);
    impl Runtime for Keeper {
        fn apply(&self, _: &Candidate) -> ConfigResult<Applied> {
            Ok(Applied::default())
        }
        fn mirrored(&self, table: &str) -> Option<Vec<Row>> {
            let row = |host: &&str| {
                let of = |name: &str| match name {
                    "hostname" => Cell::text(*host),
                    "status" => Cell::text("ONLINE"),
                    "comment" => Cell::text(""),
                    _ => Cell::Integer(1),
                };
                BACKENDS.columns.iter().map(|column| of(column.name)).collect()
            };
            (table == "mcp_backends").then(|| self.0.lock().expect("holds").iter().map(row).collect())
        }
    }
    let dir = tempfile::tempdir().expect("holds");
    let keeper = Arc::new(Keeper(Mutex::new(vec!["one"])));
    let family = mcp_config::mcp_family(dir.path(), Arc::clone(&keeper) as _);
    let admin = AdminSql::open(AdminOptions::new(dir.path()), vec![family]).expect("holds");
    admin.start().expect("holds");
    let run = |sql: &str| admin.execute(&AdminSession::local(), sql, &[], 100);
    let hosts = |table: &str| {
        let reply = run(&format!("SELECT hostname FROM {table} ORDER BY 1")).expect("holds");
        reply.rows.iter().map(|row| row[0].display()).collect::<Vec<_>>().join(",")
    };
    assert_eq!((hosts("mcp_backends"), hosts("runtime_mcp_backends")), ("one".into(), "one".into()));
    *keeper.0.lock().expect("holds") = vec!["one", "two"];
    assert_eq!((hosts("mcp_backends"), hosts("runtime_mcp_backends")), ("one,two".into(), "one,two".into()));
    assert!(run("UPDATE mcp_backends SET weight = 9").expect_err("mirrored").message.contains("read-only"));
    run("SAVE MCP BACKENDS TO DISK").expect("holds");
    assert_eq!(hosts("disk.mcp_backends"), "one,two");
    run("LOAD MCP BACKENDS TO RUNTIME").expect("holds");
    let refusal = run("LOAD MCP BACKENDS FROM DISK").expect_err("mirrored");
    assert_eq!(refusal.details["reason"], "mirrored");
}
