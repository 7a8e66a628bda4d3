//! SHOW, CHECKSUM and SELECT @@name: what is there, secrets masked; it changes nothing.

use mcp::ToolError;

use super::{AdminReply, AdminSql, ReplyKind};
use crate::cell::{Cell, Row};
use crate::error::{ConfigResult, store};
use crate::family::{Family, VARIABLES};
use crate::guard::HIDDEN;
use crate::secrets::MASK;
use crate::variables::VariableDef;
use crate::verb::{Layer, trimmed};

const DATABASES: &[&str] = &["main", "disk", "stats", "stats_history"];

impl AdminSql {
    /// A variable by its full name; a short one means `mcp-`.
    pub(super) fn variable(&self, name: &str) -> ConfigResult<(&Family, &'static VariableDef)> {
        let lower = name.to_ascii_lowercase();
        let prefixed = self.families.iter().find(|family| lower.starts_with(family.prefix));
        let family = prefixed.or(self.families.first());
        let found = family.and_then(|family| Some((family, family.variable(&lower)?)));
        found.ok_or_else(|| {
            let near = self.similar(&lower);
            ToolError::not_found("variable", name).with("similar", near)
        })
    }

    fn similar(&self, name: &str) -> Vec<String> {
        let short = name.rsplit('-').next().unwrap_or(name);
        let all = self.families.iter().flat_map(|f| f.variables.iter().map(move |v| (f, v)));
        let close = |v: &VariableDef| {
            v.name.contains(short)
                || short.split('_').filter(|part| part.len() > 2).any(|part| v.name.contains(part))
        };
        all.filter(|(_, v)| close(v)).take(5).map(|(f, v)| f.full_name(v)).collect()
    }

    pub(super) fn select_variable(&self, name: &str) -> ConfigResult<AdminReply> {
        let (family, variable) = self.variable(name)?;
        let full = family.full_name(variable);
        let inner = self.lock();
        let values = inner.store.variables("main", family.prefix)?;
        let value = values.get(&full).map_or(Cell::Null, |value| Cell::text(masked(variable, value)));
        let title = format!("@@{full}");
        Ok(AdminReply::table(format!("SELECT {title}"), ReplyKind::Select, &[&title], vec![vec![value]]))
    }

    pub(super) fn show_variables(
        &self,
        family: Option<&'static str>,
        like: Option<&str>,
        text: &str,
    ) -> ConfigResult<AdminReply> {
        let inner = self.lock();
        let mut rows = Vec::new();
        for family in self.families.iter().filter(|f| family.is_none_or(|name| f.name == name)) {
            for (name, value) in inner.store.variables("main", family.prefix)? {
                if like.is_some_and(|pattern| !is_like(&name, pattern)) {
                    continue;
                }
                let value = family.variable(&name).map_or(value.as_str(), |v| masked(v, &value));
                rows.push(vec![Cell::text(&name), Cell::text(value)]);
            }
        }
        Ok(AdminReply::table(trimmed(text), ReplyKind::Show, &["Variable_name", "Value"], rows))
    }

    pub(super) fn show_status(&self, family: &Family) -> ConfigResult<AdminReply> {
        let state = family.runtime.listener();
        let mut rows: Vec<(String, String)> = vec![
            ("listener".to_owned(), state.line()),
            ("listener_enabled".to_owned(), state.enabled.to_string()),
            ("listener_reason".to_owned(), state.reason.clone()),
        ];
        if let Some(refusal) = self.start_refusal() {
            rows.push(("start".to_owned(), refusal));
        }
        for (path, tokens, tools) in family.runtime.endpoints() {
            rows.push((format!("endpoint {path}"), format!("{tools} tools, {tokens} active tokens")));
        }
        rows.extend(family.runtime.status());
        let inner = self.lock();
        for module in family.module_keys() {
            let sums = self.sums(&inner, family, module)?;
            let words = if sums.in_sync {
                "in sync".to_owned()
            } else {
                let differs = |a: &str, b: &str| if a == b { "equals" } else { "differs from" };
                format!(
                    "memory {} runtime, memory {} disk",
                    differs(&sums.memory, &sums.runtime),
                    differs(&sums.memory, &sums.disk)
                )
            };
            rows.push((format!("module {module}"), words));
        }
        let rows = rows.into_iter().map(|(name, value)| vec![Cell::text(name), Cell::text(value)]).collect();
        let text = format!("SHOW {} STATUS", family.name);
        Ok(AdminReply::table(text, ReplyKind::Show, &["Variable_name", "Value"], rows))
    }

    pub(super) fn checksum_reply(
        &self,
        family: &Family,
        module: &'static str,
        layer: Layer,
        text: &str,
    ) -> ConfigResult<AdminReply> {
        let inner = self.lock();
        let sum = self.sum(&inner, family, module, layer)?;
        let tables: Vec<&str> = family.tables(module).iter().map(|table| table.name).collect();
        let table = if module == VARIABLES { "global_variables".to_owned() } else { tables.join(", ") };
        let row: Row = vec![Cell::Text(table), Cell::Text(sum)];
        Ok(AdminReply::table(text, ReplyKind::Checksum, &["table", "checksum"], vec![row]))
    }

    pub(super) fn show_databases(&self) -> AdminReply {
        let disk = self.options.disk.display().to_string();
        let history = self.lock().history.as_ref().map(|path| path.display().to_string());
        let file = |name: &str| match name {
            "disk" => disk.clone(),
            "stats_history" => history.clone().unwrap_or_default(),
            _ => String::new(),
        };
        let row = |(at, name): (usize, &&str)| {
            vec![Cell::Integer(i64::try_from(at).unwrap_or(0)), Cell::text(*name), Cell::Text(file(name))]
        };
        let rows = DATABASES.iter().enumerate().map(row).collect();
        AdminReply::table("SHOW DATABASES", ReplyKind::Show, &["seq", "name", "file"], rows)
    }

    pub(super) fn show_tables(&self, database: Option<&str>, like: Option<&str>) -> ConfigResult<AdminReply> {
        let database = database.unwrap_or("main").to_ascii_lowercase();
        if !DATABASES.contains(&database.as_str()) {
            return Err(ToolError::not_found("database", database).with("similar", DATABASES.to_vec()));
        }
        let inner = self.lock();
        let sql = format!(
            "SELECT name FROM {database}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
             ORDER BY name"
        );
        let read = || {
            let mut statement = inner.store.connection.prepare(&sql)?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?;
            names.collect::<rusqlite::Result<Vec<_>>>()
        };
        let names = match read() {
            Ok(names) => names,
            // Not attached: nothing has been kept yet.
            Err(_) if database == "stats_history" => Vec::new(),
            Err(error) => return Err(store("tables", &error)),
        };
        let shown = names.into_iter().filter(|name| !HIDDEN.contains(&name.as_str()));
        let shown = shown.filter(|name| like.is_none_or(|pattern| is_like(name, pattern)));
        let rows = shown.map(|name| vec![Cell::Text(name)]).collect();
        Ok(AdminReply::table(format!("SHOW TABLES FROM {database}"), ReplyKind::Show, &["tables"], rows))
    }

    pub(super) fn show_create(&self, table: &str) -> ConfigResult<AdminReply> {
        let (database, name) = table.split_once('.').unwrap_or(("main", table));
        let database = database.to_ascii_lowercase();
        let missing = || ToolError::not_found("table", table);
        if !DATABASES.contains(&database.as_str()) || HIDDEN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(missing());
        }
        let inner = self.lock();
        let sql = format!(
            "SELECT name, sql FROM {database}.sqlite_schema WHERE type = 'table' AND lower(name) = lower(?1)"
        );
        let found = inner.store.connection.query_row(&sql, [name], |row| {
            Ok(vec![Cell::read(row.get_ref(0)?), Cell::read(row.get_ref(1)?)])
        });
        let row = found.map_err(|_| missing())?;
        let text = format!("SHOW CREATE TABLE {table}");
        Ok(AdminReply::table(text, ReplyKind::Show, &["table", "Create Table"], vec![row]))
    }
}

/// A value as it may be shown.
pub(super) fn masked<'a>(variable: &VariableDef, value: &'a str) -> &'a str {
    if variable.is_secret() && !value.is_empty() { MASK } else { value }
}

/// SQL's LIKE, in any case: `%` is any text, `_` any character, `\` takes the next one as it is.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '%' => None,
            '_' => Some('_'),
            '\\' => Some(rest.next().map_or('\\', |c| if c == '_' { '\u{1}' } else { c })),
            c => Some(c),
        });
    }
    // Greedy with one place to come back to: linear in practice, bounded by text × pattern.
    let (mut at, mut token, mut back) = (0, 0, None);
    while at < text.len() {
        match tokens.get(token) {
            Some(None) => {
                back = Some((token, at));
                token += 1;
                continue;
            }
            Some(Some(c)) if *c == '_' || same(*c, text[at]) => {
                at += 1;
                token += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = back else { return false };
        back = Some((star, from + 1));
        token = star + 1;
        at = from + 1;
    }
    tokens[token..].iter().all(Option::is_none)
}

/// A character of the pattern and one of the text, which is in lower case; `\u{1}` stands for an escaped `_`.
fn same(pattern: char, text: char) -> bool {
    let pattern = if pattern == '\u{1}' { '_' } else { pattern };
    pattern.to_lowercase().eq(std::iter::once(text))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn like_is_like_sql() {
        for (text, pattern, expected) in [
            ("mcp-port", "mcp-%", true),
            ("mcp-port", "MCP-p_rt", true),
            ("mcp-port", "mcp-po", false),
            ("mcp-port", "%o%t", true),
            ("mcp-port", "%", true),
            ("", "%", true),
            ("", "", true),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("50%", "50\\%", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} like {pattern}");
        }
    }
}
