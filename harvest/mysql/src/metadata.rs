//! Metadata of a server in a handful of `information_schema` queries; it derives nothing.

mod parts;
mod relations;
mod routines;

use std::collections::HashMap;

use harvest::{
    HarvestError, HarvestResult, MetadataDepth, MetadataRequest, MetadataSnapshot, MetadataStage,
    MetadataWarning, MetadataWatch, ObjectMeta, SchemaMeta,
};
use mysql_common::row::Row;
use mysql_common::value::Value;

use crate::session::Session;

/// Objects between two progress reports.
const PROGRESS_EVERY: usize = 200;
const SYSTEM: &str = "'mysql', 'information_schema', 'performance_schema', 'sys'";

/// The state of one read.
pub(crate) struct Reader<'a> {
    session: &'a mut Session,
    watch: &'a mut dyn MetadataWatch,
    mariadb: bool,
    schemas: Option<Vec<String>>,
    include_system: bool,
    object: Option<String>,
    objects_max: usize,
    /// Tables and views by (schema, name), as positions in `objects`.
    relations: HashMap<(String, String), usize>,
    objects: Vec<ObjectMeta>,
    warnings: Vec<MetadataWarning>,
}

pub(crate) fn read(
    session: &mut Session,
    mariadb: bool,
    request: &MetadataRequest,
    watch: &mut dyn MetadataWatch,
) -> HarvestResult<MetadataSnapshot> {
    if !mariadb {
        // Row counts and sizes would otherwise be up to a day old; the session is reset before its next use.
        session.run("SET SESSION information_schema_stats_expiry = 0")?;
    }
    let mut reader = Reader {
        session,
        watch,
        mariadb,
        schemas: request.schemas.clone(),
        include_system: request.include_system,
        object: request.object.clone(),
        objects_max: request.objects_max,
        relations: HashMap::new(),
        objects: Vec::new(),
        warnings: Vec::new(),
    };
    let schemas = reader.schemas()?;
    if request.depth >= MetadataDepth::Objects {
        relations::read(&mut reader)?;
    }
    if request.depth == MetadataDepth::Full {
        parts::columns(&mut reader)?;
        parts::indexes(&mut reader)?;
        parts::foreign_keys(&mut reader)?;
        parts::constraints(&mut reader)?;
        parts::partitions(&mut reader)?;
        relations::views(&mut reader)?;
        routines::read(&mut reader)?;
    }
    let mut objects = reader.objects;
    objects.sort_by(|a, b| {
        (&a.schema, a.object_type.as_str(), &a.name, &a.signature).cmp(&(
            &b.schema,
            b.object_type.as_str(),
            &b.name,
            &b.signature,
        ))
    });
    Ok(MetadataSnapshot { schemas, objects, warnings: reader.warnings, ..MetadataSnapshot::default() })
}

impl Reader<'_> {
    /// Runs `sql` with the schema filter on `schema` and, when the read is for one object, the name filter on `name`.
    ///
    /// The text has one `{filter}`, which is replaced by conditions with placeholders.
    pub(crate) fn rows(&mut self, sql: &str, schema: &str, name: Option<&str>) -> HarvestResult<Vec<Row>> {
        let mut params: Vec<Value> = Vec::new();
        let mut filter = match &self.schemas {
            Some(list) if list.is_empty() => "FALSE".to_owned(),
            Some(list) => {
                params.extend(list.iter().map(|s| Value::from(s.as_str())));
                format!("{schema} IN ({})", vec!["?"; list.len()].join(", "))
            }
            None if self.include_system => "TRUE".to_owned(),
            None => format!("{schema} NOT IN ({SYSTEM})"),
        };
        if let (Some(column), Some(object)) = (name, &self.object) {
            filter.push_str(&format!(" AND {column} = ?"));
            params.push(Value::from(object.as_str()));
        }
        self.session.exec(&sql.replace("{filter}", &filter), &params)
    }

    /// Like [`rows`](Self::rows), but a part that this server or account does not show becomes a warning.
    pub(crate) fn rows_or_warn(
        &mut self,
        part: &str,
        sql: &str,
        schema: &str,
        name: Option<&str>,
    ) -> HarvestResult<Vec<Row>> {
        match self.rows(sql, schema, name) {
            Err(error)
                if !error.connection_broken
                    && matches!(
                        error.details.get("errno").and_then(|e| e.as_u64()),
                        Some(1109 | 1054 | 1142 | 1044 | 1227 | 1356)
                    ) =>
            {
                self.warn(part, &error.message);
                Ok(Vec::new())
            }
            other => other,
        }
    }

    pub(crate) fn warn(&mut self, part: &str, text: &str) {
        self.warnings.push(MetadataWarning { part: part.to_owned(), text: text.to_owned() });
    }

    pub(crate) fn stage(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()> {
        if done.is_multiple_of(PROGRESS_EVERY) { self.watch.stage(stage, done) } else { Ok(()) }
    }

    pub(crate) fn add(&mut self, object: ObjectMeta) -> HarvestResult<usize> {
        if self.objects.len() >= self.objects_max {
            let (limit, value) = (self.objects_max as u64, self.objects.len() as u64 + 1);
            return Err(HarvestError::limit(
                "the server has more objects than one harvest may read",
                limit,
                value,
                "mcp-discovery_max_objects",
            ));
        }
        self.objects.push(object);
        Ok(self.objects.len() - 1)
    }

    pub(crate) fn add_relation(&mut self, object: ObjectMeta) -> HarvestResult<()> {
        let key = (object.schema.clone(), object.name.clone());
        let at = self.add(object)?;
        self.relations.insert(key, at);
        Ok(())
    }

    /// The table or view of a name, if it is part of this read.
    pub(crate) fn relation(&mut self, schema: String, name: String) -> Option<&mut ObjectMeta> {
        self.relations.get(&(schema, name)).and_then(|at| self.objects.get_mut(*at))
    }

    fn schemas(&mut self) -> HarvestResult<Vec<SchemaMeta>> {
        self.stage(MetadataStage::Schemas, 0)?;
        let comment = if self.mariadb { "SCHEMA_COMMENT" } else { "''" };
        let sql = format!(
            "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, {comment}, SCHEMA_NAME IN ({SYSTEM}) \
             FROM information_schema.SCHEMATA WHERE {{filter}} ORDER BY SCHEMA_NAME"
        );
        let rows = self.rows(&sql, "SCHEMA_NAME", None)?;
        Ok(rows
            .into_iter()
            .map(|mut row| SchemaMeta {
                name: text(&mut row, 0),
                charset: optional(&mut row, 1),
                collation: optional(&mut row, 2),
                comment: text(&mut row, 3),
                is_system: number(&mut row, 4) == Some(1),
                owner: None,
            })
            .collect())
    }
}

/// A text cell; NULL and bytes that are no text become what they can.
pub(crate) fn text(row: &mut Row, index: usize) -> String {
    optional(row, index).unwrap_or_default()
}

/// A text cell that may be NULL.
pub(crate) fn optional(row: &mut Row, index: usize) -> Option<String> {
    match row.take::<Value, _>(index) {
        Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Some(Value::Int(value)) => Some(value.to_string()),
        Some(Value::UInt(value)) => Some(value.to_string()),
        _ => None,
    }
}

/// An integer cell; beyond `i64` it is cut to its maximum.
pub(crate) fn number(row: &mut Row, index: usize) -> Option<i64> {
    match row.take::<Value, _>(index) {
        Some(Value::Int(value)) => Some(value),
        Some(Value::UInt(value)) => Some(i64::try_from(value).unwrap_or(i64::MAX)),
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).parse().ok(),
        _ => None,
    }
}
