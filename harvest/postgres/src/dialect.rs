//! PostgreSQL's dialect: quoting, the gate's grammar, plans, type families; it opens no connection.

use harvest::{
    CheckedStatement, Dialect, DialectName, ExplainOptions, FragmentKind, GatePolicy, HarvestResult,
    TypeFamily,
};

/// The dialect of PostgreSQL.
#[derive(Debug, Clone, Copy, Default)]
// A unit struct: there is nothing to extend.
pub struct PostgresDialect;

/// Quotes an identifier.
pub(crate) fn quote(name: &str) -> String {
    harvest_gate::quote_identifier(DialectName::Postgresql, name)
}

impl Dialect for PostgresDialect {
    fn name(&self) -> DialectName {
        DialectName::Postgresql
    }

    fn quote_identifier(&self, name: &str) -> String {
        quote(name)
    }

    fn quote_literal(&self, text: &str) -> String {
        harvest_gate::quote_literal(DialectName::Postgresql, text)
    }

    fn placeholder(&self, position: usize) -> String {
        format!("${position}")
    }

    fn check(&self, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
        harvest_gate::check(DialectName::Postgresql, sql, policy)
    }

    fn check_fragment(&self, sql: &str, kind: FragmentKind, policy: &GatePolicy) -> HarvestResult<String> {
        harvest_gate::check_fragment(DialectName::Postgresql, sql, kind, policy)
    }

    fn explain(
        &self,
        statement: &CheckedStatement,
        options: ExplainOptions,
    ) -> HarvestResult<CheckedStatement> {
        harvest_gate::explain(DialectName::Postgresql, statement, options)
    }

    fn type_family(&self, data_type: &str) -> TypeFamily {
        let base = data_type.split('(').next().unwrap_or(data_type).trim();
        if data_type.ends_with("[]") {
            return TypeFamily::Array;
        }
        match base {
            "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8" | "oid" | "xid" => {
                TypeFamily::Integer
            }
            "numeric" | "decimal" | "money" => TypeFamily::Decimal,
            "real" | "double precision" | "float4" | "float8" => TypeFamily::Float,
            "text" | "character varying" | "varchar" | "character" | "char" | "bpchar" | "name"
            | "citext" | "\"char\"" => TypeFamily::String,
            "bytea" | "bit" | "bit varying" => TypeFamily::Bytes,
            "boolean" | "bool" => TypeFamily::Boolean,
            "json" | "jsonb" => TypeFamily::Json,
            "uuid" => TypeFamily::Uuid,
            _ if self.is_time_type(data_type) => TypeFamily::Temporal,
            "interval" => TypeFamily::Temporal,
            _ => TypeFamily::Other,
        }
    }

    fn is_time_type(&self, data_type: &str) -> bool {
        let base: String = data_type.chars().filter(|c| c.is_ascii_alphabetic() || *c == ' ').collect();
        let first = base.split_whitespace().next().unwrap_or_default();
        !data_type.ends_with("[]")
            && matches!(first, "date" | "time" | "timetz" | "timestamp" | "timestamptz")
    }

    fn is_system_schema(&self, schema: &str) -> bool {
        matches!(schema, "pg_catalog" | "information_schema")
            || schema.starts_with("pg_toast")
            || schema.starts_with("pg_temp")
    }
}
