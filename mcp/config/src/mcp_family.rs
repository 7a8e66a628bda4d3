//! The family `MCP`: what holds within its rows and across its tables before a host sees them; it applies nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::cell::Cell;
use crate::error::{ConfigResult, refused};
use crate::family::{Candidate, Family, RowView, VARIABLES};
use crate::mcp_tables::MCP_MODULES;
use crate::mcp_variables::{self, MCP_VARIABLES, TOKEN_ENDPOINTS};
use crate::runtime::Runtime;
use crate::secrets::{hash_token, is_token_hash, resolve_secret, token_matches};

/// Longest token name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The family of everything that this server does without models.
#[must_use]
pub fn mcp_family(data_dir: &Path, runtime: Arc<dyn Runtime>) -> Family {
    Family {
        name: "MCP",
        prefix: "mcp-",
        section: "mcp",
        variables: MCP_VARIABLES,
        aliases: &[],
        start_values: BTreeMap::from([("data_dir", data_dir.display().to_string())]),
        modules: MCP_MODULES,
        check,
        report,
        skipped,
        runtime,
    }
}

/// Why a target is not in use: its id and the reason, empty for one that is.
pub fn target_effects(candidate: &Candidate) -> Vec<(String, &'static str)> {
    let known: BTreeSet<&str> =
        candidate.rows("mcp_auth_profiles").map(|row| row.text("auth_profile_id")).collect();
    let reason = |row: &RowView<'_>| {
        if !row.flag("active") {
            "inactive"
        } else if !known.contains(row.text("auth_profile_id")) {
            "auth_profile_id not found"
        } else if row.optional("admin_auth_profile_id").is_some_and(|id| !known.contains(id)) {
            "admin_auth_profile_id not found"
        } else {
            ""
        }
    };
    candidate
        .rows("mcp_target_profiles")
        .map(|row| (row.text("target_id").to_owned(), reason(&row)))
        .collect()
}

fn check(candidate: &mut Candidate) -> ConfigResult<()> {
    mcp_variables::check(&candidate.variables).map_err(|(name, cause)| {
        refused(VARIABLES, Some(&format!("mcp-{name}")), format!("expected {cause}"))
            .with("argument", format!("mcp-{name}"))
            .with("expected", cause)
    })?;
    check_profiles(candidate)?;
    check_rules(candidate)?;
    check_cost_rules(candidate)?;
    check_tokens(candidate)
}

fn check_profiles(candidate: &mut Candidate) -> ConfigResult<()> {
    candidate.rewrite("mcp_target_profiles", "protocol", |row| {
        let protocol = row.text("protocol").to_ascii_lowercase();
        if !matches!(protocol.as_str(), "mysql" | "pgsql" | "sqlite") {
            let cause = format!("protocol {protocol:?} is unknown; mysql, pgsql and sqlite are known");
            return Err(refused("profiles", Some(&row.key()), cause));
        }
        Ok((protocol != row.text("protocol")).then_some(Cell::Text(protocol)))
    })?;
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for target in candidate.rows("mcp_target_profiles") {
        users.entry(target.text("auth_profile_id")).or_default().insert(target.text("protocol"));
    }
    for profile in candidate.rows("mcp_auth_profiles") {
        let fail = |cause: String| Err(refused("profiles", Some(&profile.key()), cause));
        if let Err(cause) = resolve_secret(profile.text("db_password"), &candidate.data_dir) {
            return fail(cause);
        }
        let mode = profile.text("ssl_mode").to_ascii_lowercase().replace('-', "_");
        if ssl_mode(&mode).is_none() {
            return fail(format!(
                "ssl_mode {mode:?} is unknown; disabled, preferred, required, verify_ca and verify_identity are known"
            ));
        }
        if profile.flag("use_ssl") && ssl_mode(&mode) == Some("disabled") {
            return fail("use_ssl 1 contradicts ssl_mode disabled".to_owned());
        }
        let protocols = users.get(profile.text("auth_profile_id"));
        let serves = |name: &str| protocols.is_some_and(|list| list.contains(name));
        if profile.flag("use_ssl") && serves("sqlite") {
            return fail("use_ssl 1 makes no sense for sqlite".to_owned());
        }
        if profile.text("db_username").is_empty() && (serves("mysql") || serves("pgsql")) {
            return fail("db_username is empty, which only sqlite accepts".to_owned());
        }
    }
    Ok(())
}

/// The canonical word of a TLS mode; PostgreSQL's spellings are aliases. Empty stays empty.
#[must_use]
pub fn ssl_mode(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().replace('-', "_").as_str() {
        "" => "",
        "disabled" | "disable" => "disabled",
        "preferred" | "prefer" | "allow" => "preferred",
        "required" | "require" => "required",
        "verify_ca" => "verify_ca",
        "verify_identity" | "verify_full" => "verify_identity",
        _ => return None,
    })
}

fn check_rules(candidate: &Candidate) -> ConfigResult<()> {
    for rule in candidate.rows("mcp_query_rules") {
        for column in ["replace_pattern"] {
            if rule.optional(column).is_some() && rule.optional("match_pattern").is_none() {
                let cause = format!("{column} needs a match_pattern");
                return Err(refused("query_rules", Some(&rule.key()), cause)
                    .with("rule_id", rule.int("rule_id").unwrap_or_default()));
            }
        }
    }
    Ok(())
}

fn check_cost_rules(candidate: &Candidate) -> ConfigResult<()> {
    for rule in candidate.rows("mcp_cost_rules") {
        if rule.int("max_estimated_rows").is_none() && rule.int("max_estimated_cost").is_none() {
            let cause = "max_estimated_rows and max_estimated_cost are both NULL: the rule bounds nothing";
            return Err(refused("cost_rules", Some(&rule.key()), cause)
                .with("rule_id", rule.int("rule_id").unwrap_or_default()));
        }
    }
    Ok(())
}

fn check_tokens(candidate: &mut Candidate) -> ConfigResult<()> {
    let shortest: usize = candidate.variables.int("token_min_length");
    let mut taken: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for endpoint in TOKEN_ENDPOINTS {
        let hash = candidate.variables.text(&format!("{endpoint}_endpoint_auth"));
        if !hash.is_empty() {
            taken.entry((*endpoint).to_owned()).or_default().push(("default".to_owned(), hash.to_owned()));
        }
    }
    for row in candidate.rows("mcp_endpoint_tokens") {
        if is_token_hash(row.text("token")) {
            let entry = (row.text("token_name").to_owned(), row.text("token").to_owned());
            taken.entry(row.text("endpoint").to_owned()).or_default().push(entry);
        }
    }
    candidate.rewrite("mcp_endpoint_tokens", "token", |row| {
        let fail = |cause: String| Err(refused("tokens", Some(&row.key()), cause));
        let (endpoint, name, token) = (row.text("endpoint"), row.text("token_name"), row.text("token"));
        let plain_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if endpoint.is_empty() || !endpoint.chars().all(plain_name) {
            return fail("endpoint is the last part of a path, such as query".to_owned());
        }
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(plain_name) {
            return fail(format!("token_name has 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ . -"));
        }
        if name == "default" {
            return fail(format!("the name default belongs to mcp-{endpoint}_endpoint_auth"));
        }
        check_scopes(row)?;
        if is_token_hash(token) {
            return Ok(None);
        }
        if token.chars().count() < shortest {
            return fail(format!("the token is shorter than mcp-token_min_length, which is {shortest}"));
        }
        let others = taken.entry(endpoint.to_owned()).or_default();
        if let Some((other, _)) = others.iter().find(|(_, hash)| token_matches(token, hash)) {
            return fail(format!("the token equals that of {other:?} on the same endpoint"));
        }
        let hash = hash_token(token)?;
        others.push((name.to_owned(), hash.clone()));
        Ok(Some(Cell::Text(hash)))
    })
}

fn check_scopes(row: &RowView<'_>) -> ConfigResult<()> {
    let fail = |cause: String| Err(refused("tokens", Some(&row.key()), cause));
    let scopes = row.list("scopes");
    if scopes.is_empty() {
        return fail("scopes is empty; read, write and full are known".to_owned());
    }
    let finer = matches!(row.text("endpoint"), "rag" | "ai");
    let plain = |word: &str| matches!(word, "read" | "write" | "full");
    let named = |word: &str| finer && !word.contains(char::is_whitespace);
    if let Some(word) = scopes.iter().find(|word| !plain(word) && !named(word)) {
        return fail(format!("scope {word:?} is unknown; read, write and full are known"));
    }
    Ok(())
}

/// The line of a report about one module of this family.
fn report(candidate: &Candidate, module: &str) -> Option<String> {
    let count = |table: &str| candidate.rows(table).count();
    match module {
        "query_rules" | "column_rules" | "cost_rules" => {
            let table = format!("mcp_{module}");
            let active = candidate.rows(&table).filter(|row| row.flag("active")).count();
            Some(format!("{active} active and {} inactive rules", count(&table) - active))
        }
        "profiles" => {
            let effects = target_effects(candidate);
            let effective = effects.iter().filter(|(_, reason)| reason.is_empty()).count();
            let mut line = format!(
                "{} auth profiles, {effective} of {} targets effective",
                count("mcp_auth_profiles"),
                effects.len()
            );
            for (target, reason) in effects.iter().filter(|(_, reason)| !reason.is_empty()) {
                line.push_str(&format!("; {target} skipped: {reason}"));
            }
            Some(line)
        }
        "backends" => {
            let online = candidate.rows("mcp_backends").filter(|row| row.text("status") == "ONLINE").count();
            Some(format!("{} backends, {online} ONLINE", count("mcp_backends")))
        }
        "tokens" => {
            let active = candidate.rows("mcp_endpoint_tokens").filter(|row| row.flag("active")).count();
            Some(format!("{} tokens, {active} active", count("mcp_endpoint_tokens")))
        }
        _ => None,
    }
}

fn skipped(candidate: &Candidate, module: &str) -> Vec<(String, String)> {
    if module != "profiles" {
        return Vec::new();
    }
    let skipped = target_effects(candidate).into_iter().filter(|(_, reason)| !reason.is_empty());
    skipped.map(|(target, reason)| (target, reason.to_owned())).collect()
}
