//! Which values have fields, so that a name after a dot is a field and no call of PostgreSQL; it judges no function.

use sqlparser::ast::{DataType, Expr, ObjectName};

/// Types of PostgreSQL without fields that the parser does not know by name, one blank between two.
const SCALAR_TYPES: &str = "aclitem bigint bit bool boolean box bpchar bytea char cidr cid circle citext cstring date daterange decimal float4 float8 geography geometry \
    gtsquery hstore inet int int2 int2vector int4 int4range int8 int8range integer interval json jsonb jsonpath line lquery lseg ltree \
    macaddr macaddr8 money name numeric numrange oid oidvector path pg_lsn pg_snapshot point polygon real refcursor \
    regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure \
    regrole regtype smallint text tid time timestamp timestamptz timetz tsquery tsrange tstzrange tsvector txid_snapshot uuid varbit varchar \
    vector xid xid8 xml";

fn is_listed(name: &str) -> bool {
    SCALAR_TYPES.split(' ').any(|listed| listed == name)
}

/// Whether a type that the parser knows only as a name has no fields for certain.
fn is_scalar_type(name: &ObjectName) -> bool {
    let parts: Vec<String> =
        name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).collect();
    match parts.as_slice() {
        [name] => is_listed(name),
        // The types of the system catalog have no fields, but for the rows of its own tables.
        [schema, name] => schema == "pg_catalog" && !name.starts_with("pg_") || is_listed(name),
        _ => false,
    }
}

/// Functions whose values have fields, so that a name after a dot is one of them.
fn gives_rows(name: &ObjectName) -> bool {
    let Some(name) = name.0.last().and_then(|part| part.as_ident()) else { return false };
    let name = name.value.to_lowercase();
    matches!(
        name.as_str(),
        "each"
            | "json_each"
            | "json_each_text"
            | "jsonb_each"
            | "jsonb_each_text"
            | "aclexplode"
            | "ts_parse"
            | "ts_debug"
            | "ts_token_type"
            | "pg_get_keywords"
            | "pg_options_to_table"
            | "row"
    ) || ["st_dump", "st_isvaliddetail", "st_pixel", "st_histogram", "st_valuecount", "st_summarystats"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || name.contains("record")
}

/// Whether a value surely has no fields, so that a name after a dot is a call.
pub(super) fn is_scalar(expr: &Expr) -> bool {
    match unnested(expr) {
        Expr::Cast { data_type: DataType::Custom(name, _), .. } => is_scalar_type(name),
        Expr::Cast { .. } => true,
        Expr::Function(function) => !gives_rows(&function.name),
        Expr::Value(_)
        | Expr::Array(_)
        | Expr::Case { .. }
        | Expr::Exists { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Position { .. }
        | Expr::Overlay { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::TypedString(_)
        | Expr::BinaryOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::Interval(_)
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Extract { .. }
        | Expr::Collate { .. } => true,
        // A field of what a built-in function gives has no fields itself.
        Expr::CompoundFieldAccess { root, .. } => {
            let root = unnested(root);
            is_scalar(root) || matches!(root, Expr::Function(_))
        }
        _ => false,
    }
}

/// The expression inside brackets.
pub(super) fn unnested(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}
