//! The stages of reading: objects, columns, indexes, foreign keys, constraints, definitions.

use std::collections::HashMap;

use harvest::{
    ColumnMeta, ConstraintMeta, ConstraintType, DependencyMeta, ForeignKeyMeta, HarvestError, HarvestResult,
    IndexColumnMeta, IndexMeta, MetadataDepth, MetadataRequest, MetadataSnapshot, MetadataStage,
    MetadataWarning, MetadataWatch, ObjectMeta, ObjectType, SchemaMeta,
};
use rusqlite::{Connection, Row, params};

use super::{ddl, sizes, state};
use crate::errors::mapped;

/// Objects between two reports of progress.
const REPORT_EVERY: usize = 200;

/// What the stages share.
struct Reading<'a> {
    db: &'a Connection,
    object: Option<&'a str>,
    watch: &'a mut dyn MetadataWatch,
    objects: Vec<ObjectMeta>,
    /// Position in `objects` by lower-case name of a table or view.
    places: HashMap<String, usize>,
    warnings: Vec<MetadataWarning>,
}

/// Reads what `request` asks for, inside the caller's transaction.
pub(crate) fn read(
    db: &Connection,
    request: &MetadataRequest,
    watch: &mut dyn MetadataWatch,
) -> HarvestResult<MetadataSnapshot> {
    let wanted = request.schemas.as_ref().is_none_or(|names| names.iter().any(|n| n == "main"));
    watch.stage(MetadataStage::Schemas, 0)?;
    if !wanted {
        return Ok(MetadataSnapshot::default());
    }
    let encoding: String = db.query_row("PRAGMA encoding", [], |row| row.get(0)).map_err(|e| mapped(&e))?;
    let schemas = vec![SchemaMeta { name: "main".into(), charset: Some(encoding), ..SchemaMeta::default() }];
    if request.depth == MetadataDepth::Schemas {
        return Ok(MetadataSnapshot { schemas, ..MetadataSnapshot::default() });
    }
    let mut reading = Reading {
        db,
        object: request.object.as_deref(),
        watch,
        objects: Vec::new(),
        places: HashMap::new(),
        warnings: Vec::new(),
    };
    reading.objects(request)?;
    let whole = request.depth == MetadataDepth::Full && request.object.is_none() && !request.include_system;
    let token = if whole { Some(state::token(db)?) } else { None };
    let unchanged = token.is_some() && token == request.known_token;
    if unchanged {
        reading.estimates_alone()?;
    } else if request.depth == MetadataDepth::Full {
        reading.columns()?;
        reading.indexes()?;
        sizes::estimate(db, &mut reading.objects, &mut reading.warnings)?;
        reading.foreign_keys()?;
        reading.constraints()?;
        reading.definitions()?;
    } else {
        sizes::estimate(db, &mut reading.objects, &mut reading.warnings)?;
    }
    let Reading { mut objects, warnings, .. } = reading;
    objects
        .sort_by(|a, b| (a.object_type, &a.name, &a.signature).cmp(&(b.object_type, &b.name, &b.signature)));
    Ok(MetadataSnapshot { schemas, objects, warnings, token, unchanged })
}

impl Reading<'_> {
    /// Runs one statement with the object filter as its parameter and hands each row over.
    fn rows(
        &mut self,
        sql: &str,
        mut take: impl FnMut(&mut Self, &Row<'_>) -> rusqlite::Result<HarvestResult<()>>,
    ) -> HarvestResult<()> {
        let db = self.db;
        let mut statement = db.prepare(sql).map_err(|e| mapped(&e))?;
        let mut rows = statement.query(params![self.object]).map_err(|e| mapped(&e))?;
        while let Some(row) = rows.next().map_err(|e| mapped(&e))? {
            take(self, row).map_err(|e| mapped(&e))??;
        }
        Ok(())
    }

    /// Tells progress when `done` is a multiple of the step.
    fn report(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()> {
        if done.is_multiple_of(REPORT_EVERY) { self.watch.stage(stage, done) } else { Ok(()) }
    }

    fn objects(&mut self, request: &MetadataRequest) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::Objects, 0)?;
        let (max, system) = (request.objects_max, request.include_system);
        // `table_list` knows shadow tables and virtual ones; a join would read it once for each table.
        let mut kinds: HashMap<String, String> = HashMap::new();
        let list =
            "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND (?1 IS NULL OR name = ?1)";
        self.rows(list, |_, row| {
            kinds.insert(row.get(0)?, row.get(1)?);
            Ok(Ok(()))
        })?;
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema \
                   WHERE type IN ('table', 'view', 'trigger') AND (?1 IS NULL OR name = ?1)";
        self.rows(sql, |reading, row| {
            let (kind, name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let listed = (kind != "trigger").then(|| kinds.get(&name).map(String::as_str)).flatten();
            let hidden = name.to_ascii_lowercase().starts_with("sqlite_") || listed == Some("shadow");
            if hidden && !system {
                return Ok(Ok(()));
            }
            if reading.objects.len() >= max {
                let text = format!("the file has more than {max} tables, views and triggers");
                let found = reading.objects.len() as u64 + 1;
                return Ok(Err(HarvestError::limit(text, max as u64, found, "mcp-discovery_max_objects")));
            }
            let trigger = kind == "trigger";
            let object_type = match kind.as_str() {
                "view" => ObjectType::View,
                "trigger" => ObjectType::Trigger,
                _ => ObjectType::Table,
            };
            let subtype = match (object_type, listed) {
                (ObjectType::Table, Some("virtual")) => "virtual",
                (ObjectType::Table, _) => "base",
                _ => "",
            };
            let definition: Option<String> = row.get(3)?;
            if !trigger {
                reading.places.insert(name.to_lowercase(), reading.objects.len());
            }
            reading.objects.push(ObjectMeta {
                schema: "main".into(),
                object_type,
                subtype: subtype.into(),
                signature: if trigger { table.clone() } else { String::new() },
                parent: trigger.then_some(table),
                engine: (subtype == "virtual")
                    .then(|| ddl::module(definition.as_deref().unwrap_or_default()))
                    .flatten(),
                definition_reason: definition.is_none().then(|| "the engine keeps no text for it".to_owned()),
                updatable: (object_type == ObjectType::View).then_some(false),
                definition,
                name,
                ..ObjectMeta::default()
            });
            let done = reading.objects.len();
            Ok(reading.report(MetadataStage::Objects, done))
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).or_else(|| self.places.get(&name.to_lowercase())).copied()
    }

    fn columns(&mut self) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::Columns, 0)?;
        // Views and virtual tables may be broken, and one broken one would end the whole statement: each is read alone.
        let sql = "SELECT l.name, x.cid, x.name, x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden \
                   FROM pragma_table_list l JOIN pragma_table_xinfo(l.name) x \
                   WHERE l.schema = 'main' AND l.type IN ('table', 'shadow') AND (?1 IS NULL OR l.name = ?1)";
        let (mut done, mut last) = (0_usize, String::new());
        self.rows(sql, |reading, row| {
            let table = row.get_ref(0)?.as_str()?;
            if table != last {
                last = table.to_owned();
                done += 1;
                if let Err(stop) = reading.report(MetadataStage::Columns, done) {
                    return Ok(Err(stop));
                }
            }
            let Some(place) = reading.place(table) else { return Ok(Ok(())) };
            column(&mut reading.objects[place], row)?;
            Ok(Ok(()))
        })?;
        for place in 0..self.objects.len() {
            let object = &self.objects[place];
            let alone = object.object_type == ObjectType::View || object.subtype == "virtual";
            if alone {
                self.columns_alone(place);
            }
        }
        for object in self.objects.iter_mut().filter(|o| o.subtype == "base") {
            ddl::describe_columns(object);
        }
        Ok(())
    }

    /// Rows and bytes of objects whose parts are known from an earlier read; what is needed for them is read and dropped.
    fn estimates_alone(&mut self) -> HarvestResult<()> {
        let mut names = state::indexes(self.db)?;
        for place in 0..self.objects.len() {
            let object = &mut self.objects[place];
            if object.subtype != "base" {
                if object.object_type == ObjectType::View || object.subtype == "virtual" {
                    // A broken one is told every time.
                    self.columns_alone(place);
                }
                continue;
            }
            let sql = object.definition.as_deref().unwrap_or_default();
            let index = |name: String| IndexMeta { name, ..IndexMeta::default() };
            object.indexes = names.remove(&object.name).unwrap_or_default().into_iter().map(index).collect();
            if object.indexes.is_empty() && ddl::primary_key(sql) {
                object.indexes.push(index("PRIMARY".to_owned()));
            }
            if ddl::mentions_rowid(sql) {
                self.columns_alone(place);
            }
        }
        sizes::estimate(self.db, &mut self.objects, &mut self.warnings)?;
        for object in &mut self.objects {
            object.columns = Vec::new();
            object.indexes = Vec::new();
        }
        Ok(())
    }

    fn columns_alone(&mut self, place: usize) {
        let name = self.objects[place].name.clone();
        let read = |object: &mut ObjectMeta| -> rusqlite::Result<()> {
            let sql = "SELECT NULL, cid, name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)";
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([&name])?;
            while let Some(row) = rows.next()? {
                column(object, row)?;
            }
            Ok(())
        };
        if let Err(error) = read(&mut self.objects[place]) {
            let text = format!("{name} cannot be read: {}", mapped(&error).message);
            self.warnings.push(MetadataWarning { part: "columns".into(), text });
        }
    }

    fn indexes(&mut self) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::Indexes, 0)?;
        let mut texts: HashMap<String, String> = HashMap::new();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL \
                   AND (?1 IS NULL OR tbl_name = ?1)";
        self.rows(sql, |_, row| {
            texts.insert(row.get(0)?, row.get(1)?);
            Ok(Ok(()))
        })?;
        let sql = "SELECT l.name, i.name, i.\"unique\", i.origin, x.cid, x.name, x.\"desc\", x.coll \
                   FROM pragma_table_list l JOIN pragma_index_list(l.name) i JOIN pragma_index_xinfo(i.name) x \
                   WHERE l.schema = 'main' AND l.type IN ('table', 'shadow') AND x.key = 1 AND (?1 IS NULL OR l.name = ?1)";
        let (mut done, mut last) = (0_usize, String::new());
        self.rows(sql, |reading, row| {
            let table = row.get_ref(0)?.as_str()?;
            let Some(place) = reading.place(table) else { return Ok(Ok(())) };
            if table != last {
                last = table.to_owned();
                done += 1;
                if let Err(stop) = reading.report(MetadataStage::Indexes, done) {
                    return Ok(Err(stop));
                }
            }
            index_part(&mut reading.objects[place], row, &texts)?;
            Ok(Ok(()))
        })?;
        for object in self.objects.iter_mut().filter(|o| o.subtype == "base") {
            rowid_key(object);
            object.indexes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(())
    }

    fn foreign_keys(&mut self) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::ForeignKeys, 0)?;
        if !self.objects.iter().any(|o| o.definition.as_deref().is_some_and(ddl::mentions_references)) {
            return Ok(());
        }
        let sql = "SELECT l.name, f.id, f.\"table\", f.\"from\", f.\"to\", f.on_update, f.on_delete, f.seq \
                   FROM pragma_table_list l JOIN pragma_foreign_key_list(l.name) f \
                   WHERE l.schema = 'main' AND l.type = 'table' AND (?1 IS NULL OR l.name = ?1)";
        self.rows(sql, |reading, row| {
            let Some(place) = reading.place(row.get_ref(0)?.as_str()?) else { return Ok(Ok(())) };
            let name = format!("fk_{}", row.get::<_, i64>(1)?);
            let (parent, from): (String, String) = (row.get(2)?, row.get(3)?);
            let to = match row.get::<_, Option<String>>(4)? {
                Some(to) => to,
                None => reading.key_of(&parent, row.get::<_, i64>(7)?)?,
            };
            let keys = &mut reading.objects[place].foreign_keys;
            match keys.iter_mut().find(|k| k.name == name) {
                Some(key) => key.columns.push((from, to)),
                None => keys.push(ForeignKeyMeta {
                    name,
                    parent_schema: "main".into(),
                    parent_table: parent,
                    columns: vec![(from, to)],
                    on_update: row.get(5)?,
                    on_delete: row.get(6)?,
                    deferrable: false,
                }),
            }
            Ok(Ok(()))
        })?;
        for object in self.objects.iter_mut().filter(|o| !o.foreign_keys.is_empty()) {
            ddl::mark_deferrable(object);
            object.foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(())
    }

    /// The part of a parent's primary key that an omitted column means.
    fn key_of(&self, parent: &str, seq: i64) -> rusqlite::Result<String> {
        let known = self.place(parent).map(|place| &self.objects[place]);
        let part = usize::try_from(seq).unwrap_or(0);
        if let Some(name) = known
            .and_then(|o| o.indexes.iter().find(|i| i.primary))
            .and_then(|i| i.columns.get(part))
            .and_then(|c| c.name.clone())
        {
            return Ok(name);
        }
        let mut statement = self.db.prepare_cached("SELECT name FROM pragma_table_info(?1) WHERE pk = ?2")?;
        let mut rows = statement.query(params![parent, seq + 1])?;
        rows.next()?.map_or_else(|| Ok(String::new()), |row| row.get(0))
    }

    fn constraints(&mut self) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::Constraints, 0)?;
        for object in self.objects.iter_mut().filter(|o| o.subtype == "base") {
            let unique = object.indexes.iter().filter(|i| i.unique && !i.primary);
            let mut constraints: Vec<ConstraintMeta> = unique
                .map(|index| ConstraintMeta {
                    name: index.name.clone(),
                    constraint_type: ConstraintType::Unique,
                    columns: index.columns.iter().filter_map(|c| c.name.clone()).collect(),
                    expression: index.predicate.clone(),
                })
                .collect();
            constraints.extend(ddl::checks(object));
            constraints.sort_by(|a, b| a.name.cmp(&b.name));
            object.constraints = constraints;
        }
        Ok(())
    }

    fn definitions(&mut self) -> HarvestResult<()> {
        self.watch.stage(MetadataStage::Definitions, 0)?;
        // A call for one object must still know the others that its view names.
        let mut types: HashMap<String, (String, ObjectType)> = HashMap::new();
        let object = self.object.take();
        let listed = self.rows(
            "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND ?1 IS NULL",
            |_, row| {
                let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
                let object_type = if kind == "view" { ObjectType::View } else { ObjectType::Table };
                types.insert(name.to_lowercase(), (name, object_type));
                Ok(Ok(()))
            },
        );
        self.object = object;
        listed?;
        for view in self.objects.iter_mut().filter(|o| o.object_type == ObjectType::View) {
            let body = view.definition.as_deref().unwrap_or_default();
            let mut found: Vec<DependencyMeta> = ddl::view_tables(body)
                .iter()
                .filter_map(|name| types.get(&name.to_lowercase()))
                .map(|(name, object_type)| DependencyMeta {
                    schema: "main".into(),
                    name: name.clone(),
                    object_type: Some(*object_type),
                    from_catalog: false,
                })
                .collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.dedup();
            view.depends_on = found;
        }
        Ok(())
    }
}

/// One row of `table_xinfo`.
fn column(object: &mut ObjectMeta, row: &Row<'_>) -> rusqlite::Result<()> {
    let hidden: i64 = row.get(7)?;
    if hidden == 1 {
        return Ok(());
    }
    let declared: String = row.get::<_, Option<String>>(3)?.unwrap_or_default();
    // Of a generated column the engine appends its own words to the type.
    let column_type = declared.replace(" GENERATED ALWAYS", "");
    let data_type = column_type.split('(').next().unwrap_or_default().trim().to_ascii_lowercase();
    let ordinal = u32::try_from(object.columns.len() + 1).unwrap_or(u32::MAX);
    object.columns.push(ColumnMeta {
        ordinal,
        name: row.get(2)?,
        data_type,
        column_type,
        nullable: row.get::<_, i64>(4)? == 0,
        default: row.get(5)?,
        extra: match hidden {
            2 => "VIRTUAL GENERATED".to_owned(),
            3 => "STORED GENERATED".to_owned(),
            _ => String::new(),
        },
        // The place in the primary key waits here until the indexes are known.
        enum_values: None,
        collation: match row.get::<_, i64>(6)? {
            0 => None,
            place => Some(format!("{PK}{place}")),
        },
        ..ColumnMeta::default()
    });
    Ok(())
}

/// Marks a member of the primary key until the indexes are known.
const PK: &str = "\u{0}pk";

/// One key part of an index.
fn index_part(
    object: &mut ObjectMeta,
    row: &Row<'_>,
    texts: &HashMap<String, String>,
) -> rusqlite::Result<()> {
    let name: String = row.get(1)?;
    let known = object.indexes.last().is_some_and(|i| i.name == name);
    if !known {
        object.indexes.push(IndexMeta {
            unique: row.get(2)?,
            primary: row.get_ref(3)?.as_str()? == "pk",
            index_type: Some("btree".into()),
            predicate: texts.get(&name).and_then(|sql| ddl::predicate(sql)),
            visible: true,
            name,
            ..IndexMeta::default()
        });
    }
    let Some(index) = object.indexes.last_mut() else { return Ok(()) };
    let column: Option<String> = row.get(5)?;
    let part = index.columns.len();
    let expression = match column {
        Some(_) => None,
        None => texts.get(&index.name).and_then(|sql| ddl::index_expression(sql, part)),
    };
    index.columns.push(IndexColumnMeta {
        name: column,
        expression,
        descending: row.get(6)?,
        collation: row.get(7)?,
        ..IndexColumnMeta::default()
    });
    Ok(())
}

/// Records an INTEGER PRIMARY KEY, which has no index of its own, and takes the marks off the columns.
fn rowid_key(object: &mut ObjectMeta) {
    let mut parts: Vec<(String, String)> = Vec::new();
    for column in &mut object.columns {
        if column.collation.as_deref().is_some_and(|c| c.starts_with(PK)) {
            parts.push((column.collation.take().unwrap_or_default(), column.name.clone()));
        }
    }
    parts.sort();
    if parts.is_empty() || object.indexes.iter().any(|i| i.primary) {
        return;
    }
    for column in object.columns.iter_mut().filter(|c| parts.iter().any(|(_, name)| *name == c.name)) {
        // It is the rowid, so it is never null.
        column.nullable = false;
    }
    let columns = parts
        .into_iter()
        .map(|(_, name)| IndexColumnMeta {
            name: Some(name),
            collation: Some("BINARY".into()),
            ..IndexColumnMeta::default()
        })
        .collect();
    object.indexes.push(IndexMeta {
        name: "PRIMARY".into(),
        unique: true,
        primary: true,
        index_type: Some("rowid".into()),
        visible: true,
        columns,
        ..IndexMeta::default()
    });
}
