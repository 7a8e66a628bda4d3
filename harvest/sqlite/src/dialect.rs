//! The SQL dialect of SQLite: quoting, the gate, plans, type families; it opens no file.

use harvest::{
    CheckedStatement, Dialect, DialectName, ExplainOptions, FragmentKind, GatePolicy, HarvestResult,
    TypeFamily,
};

/// SQLite's dialect.
// Exhaustive: a unit that callers name.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDialect;

/// The one shared instance.
pub(crate) static DIALECT: SqliteDialect = SqliteDialect;

impl Dialect for SqliteDialect {
    fn name(&self) -> DialectName {
        DialectName::Sqlite
    }

    fn quote_identifier(&self, name: &str) -> String {
        harvest_gate::quote_identifier(DialectName::Sqlite, name)
    }

    fn quote_literal(&self, text: &str) -> String {
        harvest_gate::quote_literal(DialectName::Sqlite, text)
    }

    fn placeholder(&self, position: usize) -> String {
        format!("?{position}")
    }

    fn check(&self, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
        harvest_gate::check(DialectName::Sqlite, sql, policy)
    }

    fn check_fragment(&self, sql: &str, kind: FragmentKind, policy: &GatePolicy) -> HarvestResult<String> {
        harvest_gate::check_fragment(DialectName::Sqlite, sql, kind, policy)
    }

    fn explain(
        &self,
        statement: &CheckedStatement,
        options: ExplainOptions,
    ) -> HarvestResult<CheckedStatement> {
        harvest_gate::explain(DialectName::Sqlite, statement, options)
    }

    fn type_family(&self, data_type: &str) -> TypeFamily {
        let name = data_type.to_ascii_lowercase();
        let has = |part: &str| name.contains(part);
        match () {
            () if has("bool") => TypeFamily::Boolean,
            () if self.is_time_type(&name) => TypeFamily::Temporal,
            () if has("json") => TypeFamily::Json,
            () if has("uuid") || has("guid") => TypeFamily::Uuid,
            () if has("decimal") || has("numeric") => TypeFamily::Decimal,
            // From here on the engine's own rules of affinity, in its order.
            () if has("int") => TypeFamily::Integer,
            () if has("char") || has("clob") || has("text") => TypeFamily::String,
            () if has("blob") || has("binary") => TypeFamily::Bytes,
            () if has("real") || has("floa") || has("doub") => TypeFamily::Float,
            () => TypeFamily::Other,
        }
    }

    fn is_time_type(&self, data_type: &str) -> bool {
        data_type
            .to_ascii_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|token| matches!(token, "date" | "time" | "datetime" | "timestamp"))
    }

    fn is_system_schema(&self, schema: &str) -> bool {
        schema.eq_ignore_ascii_case("temp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_follow_declared_types() {
        for (declared, family) in [
            ("INTEGER", TypeFamily::Integer),
            ("unsigned big int", TypeFamily::Integer),
            ("varchar", TypeFamily::String),
            ("blob", TypeFamily::Bytes),
            ("double precision", TypeFamily::Float),
            ("numeric", TypeFamily::Decimal),
            ("datetime", TypeFamily::Temporal),
            ("boolean", TypeFamily::Boolean),
            ("", TypeFamily::Other),
        ] {
            assert_eq!(DIALECT.type_family(declared), family, "{declared}");
        }
        assert!(DIALECT.is_time_type("timestamp"));
        assert!(!DIALECT.is_time_type("update"));
    }
}
