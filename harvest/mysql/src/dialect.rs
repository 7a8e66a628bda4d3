//! The dialects of MySQL and MariaDB: quoting, the gate's grammar, plans, type families; it opens no connection.

use harvest::{
    CheckedStatement, Dialect, DialectName, ExplainOptions, FragmentKind, GatePolicy, HarvestResult,
    TypeFamily,
};

/// The dialect of MySQL.
#[derive(Debug, Clone, Copy, Default)]
// A unit struct: there is nothing to extend.
pub struct MysqlDialect;

/// The dialect of MariaDB.
#[derive(Debug, Clone, Copy, Default)]
// A unit struct: there is nothing to extend.
pub struct MariadbDialect;

/// Both dialects share everything but their name, which the gate branches on.
macro_rules! dialect {
    ($type:ty, $name:expr) => {
        impl Dialect for $type {
            fn name(&self) -> DialectName {
                $name
            }

            fn quote_identifier(&self, name: &str) -> String {
                harvest_gate::quote_identifier($name, name)
            }

            fn quote_literal(&self, text: &str) -> String {
                harvest_gate::quote_literal($name, text)
            }

            fn placeholder(&self, _: usize) -> String {
                "?".to_owned()
            }

            fn check(&self, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
                harvest_gate::check($name, sql, policy)
            }

            fn check_fragment(
                &self,
                sql: &str,
                kind: FragmentKind,
                policy: &GatePolicy,
            ) -> HarvestResult<String> {
                harvest_gate::check_fragment($name, sql, kind, policy)
            }

            fn explain(
                &self,
                statement: &CheckedStatement,
                options: ExplainOptions,
            ) -> HarvestResult<CheckedStatement> {
                harvest_gate::explain($name, statement, options)
            }

            fn type_family(&self, data_type: &str) -> TypeFamily {
                family(data_type)
            }

            fn is_time_type(&self, data_type: &str) -> bool {
                matches!(data_type, "date" | "datetime" | "timestamp" | "time" | "year")
            }

            fn is_system_schema(&self, schema: &str) -> bool {
                ["mysql", "information_schema", "performance_schema", "sys"]
                    .iter()
                    .any(|s| schema.eq_ignore_ascii_case(s))
            }
        }
    };
}

dialect!(MysqlDialect, DialectName::Mysql);
dialect!(MariadbDialect, DialectName::Mariadb);

fn family(data_type: &str) -> TypeFamily {
    match data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" => TypeFamily::Integer,
        "decimal" | "numeric" => TypeFamily::Decimal,
        "float" | "double" | "real" => TypeFamily::Float,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "inet4"
        | "inet6" => TypeFamily::String,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "bit" => TypeFamily::Bytes,
        "date" | "datetime" | "timestamp" | "time" => TypeFamily::Temporal,
        "json" => TypeFamily::Json,
        "uuid" => TypeFamily::Uuid,
        _ => TypeFamily::Other,
    }
}
