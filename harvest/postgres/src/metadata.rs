//! Metadata of a whole database in a handful of catalog queries; it derives nothing.

mod parts;
mod relations;
mod routines;

use std::collections::HashMap;

use harvest::{
    HarvestError, HarvestResult, MetadataDepth, MetadataRequest, MetadataSnapshot, MetadataStage,
    MetadataWarning, MetadataWatch, ObjectMeta, SchemaMeta,
};
use postgres_types::ToSql;

use crate::session::{Row, Session};

/// Objects between two progress reports.
const PROGRESS_EVERY: usize = 200;
/// The condition that keeps schemas of the engine out; `$1` is the filter, `$2` whether system schemas count.
pub(crate) const SCHEMA_FILTER: &str = "(($1::text[] IS NULL AND ($2 OR (n.nspname NOT IN ('pg_catalog', 'information_schema') \
     AND n.nspname !~ '^pg_(toast|temp)'))) OR n.nspname = ANY ($1))";

/// The state of one read.
pub(crate) struct Reader<'a> {
    session: &'a mut Session,
    watch: &'a mut dyn MetadataWatch,
    schemas: Option<Vec<String>>,
    include_system: bool,
    object: Option<String>,
    objects_max: usize,
    /// Relations by oid, as positions in `objects`.
    relations: HashMap<i64, usize>,
    objects: Vec<ObjectMeta>,
    warnings: Vec<MetadataWarning>,
}

pub(crate) fn read(
    session: &mut Session,
    request: &MetadataRequest,
    watch: &mut dyn MetadataWatch,
) -> HarvestResult<MetadataSnapshot> {
    let mut reader = Reader {
        session,
        watch,
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
        relations::read(&mut reader, request.depth == MetadataDepth::Full)?;
    }
    if request.depth == MetadataDepth::Full {
        routines::read(&mut reader)?;
        parts::columns(&mut reader)?;
        parts::indexes(&mut reader)?;
        parts::foreign_keys(&mut reader)?;
        parts::constraints(&mut reader)?;
        parts::dependencies(&mut reader)?;
        reader.extension_warning()?;
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
    /// Runs a query whose first parameters are the schema filter, the system flag and the object name.
    pub(crate) fn rows(&mut self, sql: &str) -> HarvestResult<Vec<Row>> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.schemas, &self.include_system, &self.object];
        self.session.query(sql, &params)
    }

    pub(crate) fn stage(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()> {
        if done.is_multiple_of(PROGRESS_EVERY) { self.watch.stage(stage, done) } else { Ok(()) }
    }

    /// Adds an object; relations are found again by oid.
    pub(crate) fn add(&mut self, oid: i64, object: ObjectMeta) -> HarvestResult<()> {
        if self.objects.len() >= self.objects_max {
            let (limit, value) = (self.objects_max as u64, self.objects.len() as u64 + 1);
            return Err(HarvestError::limit(
                "the database has more objects than one harvest may read",
                limit,
                value,
                "mcp-discovery_max_objects",
            ));
        }
        self.relations.insert(oid, self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// The relation of an oid, if it is part of this read.
    pub(crate) fn relation(&mut self, oid: i64) -> Option<&mut ObjectMeta> {
        self.relations.get(&oid).and_then(|at| self.objects.get_mut(*at))
    }

    fn schemas(&mut self) -> HarvestResult<Vec<SchemaMeta>> {
        self.stage(MetadataStage::Schemas, 0)?;
        let sql = format!(
            "SELECT n.nspname::text, pg_get_userbyid(n.nspowner)::text, coalesce(obj_description(n.oid, 'pg_namespace'), ''), \
             pg_encoding_to_char(d.encoding)::text, d.datcollate::text, \
             n.nspname IN ('pg_catalog', 'information_schema') OR n.nspname ~ '^pg_(toast|temp)' \
             FROM pg_namespace n, pg_database d \
             WHERE d.datname = current_database() AND {SCHEMA_FILTER} AND ($3::text IS NULL OR true) ORDER BY 1"
        );
        let rows = self.rows(&sql)?;
        Ok(rows
            .iter()
            .map(|row| SchemaMeta {
                name: row.get(0),
                owner: row.get(1),
                comment: row.get(2),
                charset: row.get(3),
                collation: row.get(4),
                is_system: row.get(5),
            })
            .collect())
    }

    /// Objects that belong to an extension are left out; their number is told.
    fn extension_warning(&mut self) -> HarvestResult<()> {
        let sql = format!(
            "SELECT e.extname::text, count(*) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
             JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
             AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {SCHEMA_FILTER} AND ($3::text IS NULL OR true) GROUP BY 1 ORDER BY 1"
        );
        for row in self.rows(&sql)? {
            let (extension, count): (String, i64) = (row.get(0), row.get(1));
            let text = format!("{count} objects of the extension {extension} are left out");
            self.warnings.push(MetadataWarning { part: "extensions".to_owned(), text });
        }
        Ok(())
    }
}
