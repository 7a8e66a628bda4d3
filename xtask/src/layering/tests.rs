//! Planted faults: each test builds a tiny workspace with one forbidden edge and asks that the rule names it.

use std::path::Path;
use std::process::Command;

use super::check;
use crate::process;

/// A workspace of path-only crates: `(folder, body of the manifest below [package])`.
struct Planted {
    folder: tempfile::TempDir,
}

impl Planted {
    fn new(members: &[(&str, &str)]) -> Self {
        let planted = Self { folder: tempfile::tempdir().unwrap() };
        let listed: Vec<String> = members.iter().map(|(folder, _)| format!("{folder:?}")).collect();
        planted.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{}]\nexclude = [\"vendor\"]\n",
                listed.join(", ")
            ),
        );
        for (folder, body) in members {
            let name = folder.trim_start_matches("examples/").replace('/', "_");
            planted.package(folder, &name, body);
        }
        planted
    }

    /// A stand-in for a crate of the registry.
    fn vendor(self, name: &str) -> Self {
        self.package(&format!("vendor/{name}"), name, "");
        self
    }

    fn package(&self, folder: &str, name: &str, body: &str) {
        let head = format!("[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        self.write(&format!("{folder}/Cargo.toml"), &format!("{head}{body}\n"));
        self.write(&format!("{folder}/src/lib.rs"), "//! Nothing.\n");
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn findings(&self) -> Vec<String> {
        let root: &Path = self.folder.path();
        let mut lock: Command = process::cargo();
        lock.current_dir(root).args(["generate-lockfile", "--offline"]);
        process::capture(&mut lock).unwrap();
        check(root).unwrap().findings
    }
}

#[track_caller]
fn assert_found(findings: &[String], parts: &[&str]) {
    assert!(
        findings.iter().any(|finding| parts.iter().all(|part| finding.contains(part))),
        "no finding with {parts:?} in {findings:#?}"
    );
}

#[test]
fn a_clean_workspace_has_no_finding() {
    let planted = Planted::new(&[
        ("mcp", ""),
        ("mcp/tools", "[dependencies]\nmcp = { path = \"..\" }\nharvest = { path = \"../../harvest\" }"),
        ("harvest", "[dependencies]\nserde = { path = \"../vendor/serde\" }"),
        (
            "harvest/sqlite",
            "[dependencies]\nharvest = { path = \"..\" }\nrusqlite = { path = \"../../vendor/rusqlite\" }",
        ),
        ("ai_core", ""),
        ("bridge", "[dependencies]\nmcp = { path = \"../mcp\" }"),
        (
            "bridge/ai",
            "[dependencies]\nai_core = { path = \"../../ai_core\" }\nharvest = { path = \"../../harvest\" }",
        ),
        (
            "examples/serve",
            "[package.metadata.penstock]\nmust_not_reach = [\"tantivy\"]\n[dependencies]\nbridge_ai = { path = \"../../bridge/ai\" }",
        ),
    ]);
    let planted = planted.vendor("serde").vendor("rusqlite");
    assert_eq!(planted.findings(), Vec::<String>::new());
}

#[test]
fn mcp_must_not_use_ai_core() {
    let planted =
        Planted::new(&[("mcp", "[dependencies]\nai_core = { path = \"../ai_core\" }"), ("ai_core", "")]);
    assert_found(&planted.findings(), &["`mcp` -> `ai_core` (normal)", "mcp/ may not use ai_core/"]);
}

#[test]
fn a_dev_dependency_counts() {
    let planted =
        Planted::new(&[("harvest", "[dev-dependencies]\nmcp = { path = \"../mcp\" }"), ("mcp", "")]);
    let findings = planted.findings();
    assert_found(&findings, &["`harvest` -> `mcp` (dev)"]);
    assert_found(&findings, &["`harvest` reaches `mcp`", "-(dev)-> mcp"]);
}

#[test]
fn a_build_dependency_counts() {
    let planted = Planted::new(&[
        ("ai_core", "[build-dependencies]\nharvest = { path = \"../harvest\" }"),
        ("harvest", ""),
    ]);
    assert_found(&planted.findings(), &["`ai_core` -> `harvest` (build)"]);
}

#[test]
fn an_optional_dependency_counts_though_its_feature_is_off() {
    let planted = Planted::new(&[
        (
            "ai_core",
            "[features]\nrows = [\"dep:harvest\"]\n[dependencies]\nharvest = { path = \"../harvest\", optional = true }",
        ),
        ("harvest", ""),
    ]);
    let findings = planted.findings();
    assert_found(&findings, &["`ai_core` -> `harvest` (normal, optional)"]);
    assert_found(&findings, &["`ai_core` reaches `harvest`"]);
}

#[test]
fn a_renamed_package_counts() {
    let planted = Planted::new(&[
        ("harvest", "[dependencies]\nprotocol = { package = \"mcp\", path = \"../mcp\" }"),
        ("mcp", ""),
    ]);
    assert_found(&planted.findings(), &["`harvest` -> `mcp`", "renamed `protocol`"]);
}

#[test]
fn an_edge_of_another_platform_counts() {
    let planted = Planted::new(&[
        ("mcp/server", "[target.'cfg(windows)'.dependencies]\nharvest = { path = \"../../harvest\" }"),
        ("harvest", ""),
    ]);
    let findings = planted.findings();
    assert_found(&findings, &["`mcp_server` -> `harvest`", "target cfg(windows)"]);
    assert_found(&findings, &["`mcp_server` reaches `harvest`", "cfg(windows)"]);
}

#[test]
fn a_transitive_path_is_printed() {
    let planted = Planted::new(&[
        ("mcp/server", "[dependencies]\nmcp_tools = { path = \"../tools\" }"),
        ("mcp/tools", "[dependencies]\nharvest = { path = \"../../harvest\" }"),
        ("harvest", ""),
    ]);
    let findings = planted.findings();
    assert_found(&findings, &["mcp_server -(normal)-> mcp_tools -(normal)-> harvest"]);
    assert!(!findings.iter().any(|finding| finding.contains("`mcp_tools` -> `harvest`")), "{findings:#?}");
}

#[test]
fn a_path_through_a_foreign_crate_counts() {
    let planted =
        Planted::new(&[("ai_core", "[dependencies]\nglue = { path = \"../vendor/glue\" }"), ("mcp", "")]);
    let planted = planted.vendor("glue");
    planted.package("vendor/glue", "glue", "[dependencies]\nmcp = { path = \"../../mcp\" }");
    assert_found(&planted.findings(), &["ai_core -(normal)-> glue -(normal)-> mcp"]);
}

#[test]
fn a_driver_in_a_seam_is_two_findings() {
    let planted =
        Planted::new(&[("harvest", "[dependencies]\nrusqlite = { path = \"../vendor/rusqlite\" }")]);
    let findings = planted.vendor("rusqlite").findings();
    assert_found(&findings, &["seam `harvest` names `rusqlite`"]);
    assert_found(&findings, &["`harvest` names `rusqlite`", "only harvest_sqlite"]);
}

#[test]
fn a_renamed_optional_driver_of_another_platform_is_found() {
    let planted = Planted::new(&[(
        "mcp/tools",
        "[target.'cfg(windows)'.dependencies]\ndb = { package = \"mysql\", path = \"../../vendor/mysql\", optional = true }",
    )]);
    let findings = planted.vendor("mysql").findings();
    assert_found(
        &findings,
        &["`mcp_tools` names `mysql` (normal, optional, renamed `db`, target cfg(windows))"],
    );
}

#[test]
fn the_root_bridge_uses_only_mcp() {
    let planted =
        Planted::new(&[("bridge", "[dependencies]\nharvest = { path = \"../harvest\" }"), ("harvest", "")]);
    assert_found(&planted.findings(), &["the root `bridge` may use only `mcp`"]);
}

#[test]
fn a_library_must_not_use_an_example_nor_xtask_a_library() {
    let planted = Planted::new(&[
        ("bridge/host", "[dev-dependencies]\nserve = { path = \"../../examples/serve\" }"),
        ("examples/serve", "[package.metadata.penstock]\nmust_not_reach = []"),
        ("xtask", "[dependencies]\nmcp = { path = \"../mcp\" }"),
        ("mcp", ""),
    ]);
    let findings = planted.findings();
    assert_found(&findings, &["`bridge_host` -> `serve` (dev)", "bridge/ may not use examples/"]);
    assert_found(&findings, &["`xtask` -> `mcp`"]);
}

#[test]
fn an_example_is_held_to_its_statement() {
    let planted = Planted::new(&[
        (
            "examples/embed_mcp",
            "[package.metadata.penstock]\nmust_not_reach = [\"ai_core*\"]\n[dependencies]\nbridge_ai = { path = \"../../bridge/ai\" }",
        ),
        ("examples/silent", ""),
        ("bridge/ai", "[dependencies]\nai_core = { path = \"../../ai_core\" }"),
        ("ai_core", ""),
    ]);
    let findings = planted.findings();
    assert_found(
        &findings,
        &["example `embed_mcp` must not reach `ai_core*`: embed_mcp -> bridge_ai -> ai_core"],
    );
    assert_found(&findings, &["example `silent` does not state"]);
}

#[test]
fn a_journey_must_not_compile_what_others_pay_for() {
    let planted =
        Planted::new(&[("ai_core/anomaly", "[dependencies]\nscan = { path = \"../../vendor/scan\" }")]);
    let planted = planted.vendor("tantivy").vendor("scan");
    planted.package("vendor/scan", "scan", "[dependencies]\ntantivy = { path = \"../tantivy\" }");
    assert_found(
        &planted.findings(),
        &["only the anomaly detector", "`tantivy`", "ai_core_anomaly -> scan -> tantivy"],
    );
}

#[test]
fn a_budget_counts_what_is_compiled() {
    let names: Vec<String> = (0..18).map(|number| format!("small{number}")).collect();
    let body: String =
        names.iter().map(|name| format!("{name} = {{ path = \"../vendor/{name}\" }}\n")).collect();
    let mut planted = Planted::new(&[("mcp", &format!("[dependencies]\n{body}"))]);
    for name in &names {
        planted = planted.vendor(name);
    }
    assert_found(&planted.findings(), &["`mcp` compiles 18 crates, its budget is 16"]);
}

#[test]
fn a_folder_calls_for_a_name() {
    let planted = Planted::new(&[("mcp", "")]);
    planted.package("mcp", "protocol", "");
    assert_found(&planted.findings(), &["`protocol` is in a folder that calls for the name `mcp`"]);
}

#[test]
fn a_crate_outside_every_group_is_refused() {
    let planted = Planted::new(&[("commons", "")]);
    assert_found(&planted.findings(), &["`commons` is in no known group folder"]);
}
