//! Tables, views and sequences; it does not read their columns.

use harvest::{
    DependencyMeta, DialectName, GatePolicy, HarvestResult, MetadataStage, ObjectMeta, ObjectType,
    RowsEstSource,
};

use super::{Reader, number, optional, text};

pub(super) fn read(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Objects, 0)?;
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, INDEX_LENGTH, \
               UNIX_TIMESTAMP(CREATE_TIME), UNIX_TIMESTAMP(UPDATE_TIME), TABLE_COMMENT, CREATE_OPTIONS \
               FROM information_schema.TABLES WHERE {filter} ORDER BY TABLE_SCHEMA, TABLE_NAME";
    for (done, mut row) in reader.rows(sql, "TABLE_SCHEMA", Some("TABLE_NAME"))?.into_iter().enumerate() {
        reader.stage(MetadataStage::Objects, done)?;
        let kind = text(&mut row, 2);
        let options = text(&mut row, 10);
        let (object_type, subtype) = match kind.as_str() {
            "VIEW" | "SYSTEM VIEW" => (ObjectType::View, ""),
            "SEQUENCE" => (ObjectType::Sequence, ""),
            _ if options.contains("partitioned") => (ObjectType::Table, "partitioned"),
            _ => (ObjectType::Table, "base"),
        };
        let is_table = object_type == ObjectType::Table;
        let rows_est = number(&mut row, 4).filter(|_| is_table);
        let comment = text(&mut row, 9);
        reader.add_relation(ObjectMeta {
            schema: text(&mut row, 0),
            name: text(&mut row, 1),
            object_type,
            subtype: subtype.to_owned(),
            engine: optional(&mut row, 3),
            rows_est,
            rows_est_source: rows_est.map(|_| RowsEstSource::Statistics),
            data_bytes: number(&mut row, 5).filter(|_| is_table),
            index_bytes: number(&mut row, 6).filter(|_| is_table),
            create_time: number(&mut row, 7),
            update_time: number(&mut row, 8),
            // The engines write the word VIEW where a view has no comment.
            comment: if object_type == ObjectType::View && comment == "VIEW" {
                String::new()
            } else {
                comment
            },
            ..ObjectMeta::default()
        })?;
    }
    Ok(())
}

/// Bodies and what they read; the body is NULL for accounts without SHOW VIEW.
pub(super) fn views(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Definitions, 0)?;
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, IS_UPDATABLE, CHECK_OPTION, SECURITY_TYPE \
               FROM information_schema.VIEWS WHERE {filter} ORDER BY TABLE_SCHEMA, TABLE_NAME";
    for mut row in reader.rows(sql, "TABLE_SCHEMA", Some("TABLE_NAME"))? {
        let (schema, name) = (text(&mut row, 0), text(&mut row, 1));
        let definition = optional(&mut row, 2).filter(|d| !d.is_empty());
        let (updatable, check, security) = (text(&mut row, 3) == "YES", text(&mut row, 4), text(&mut row, 5));
        let Some(view) = reader.relation(schema, name) else { continue };
        view.definition_reason =
            definition.is_none().then(|| "the account lacks the SHOW VIEW privilege".to_owned());
        view.definition = definition;
        view.updatable = Some(updatable);
        view.check_option = (check != "NONE" && !check.is_empty()).then(|| check.to_lowercase());
        view.security = (!security.is_empty()).then(|| security.to_lowercase());
    }
    if reader.mariadb {
        // MariaDB has no VIEW_TABLE_USAGE: what its views read stands in their text.
        parsed_dependencies(reader);
        return Ok(());
    }
    let sql = "SELECT VIEW_SCHEMA, VIEW_NAME, TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEW_TABLE_USAGE \
               WHERE {filter} ORDER BY 1, 2, 3, 4";
    for mut row in reader.rows_or_warn("view_dependencies", sql, "VIEW_SCHEMA", Some("VIEW_NAME"))? {
        let (schema, name) = (text(&mut row, 0), text(&mut row, 1));
        let (parent_schema, parent) = (text(&mut row, 2), text(&mut row, 3));
        let object_type = reader.relation(parent_schema.clone(), parent.clone()).map(|o| o.object_type);
        if let Some(view) = reader.relation(schema, name) {
            view.depends_on.push(DependencyMeta {
                schema: parent_schema,
                name: parent,
                object_type,
                from_catalog: true,
            });
        }
    }
    Ok(())
}

/// What views read, by the tree of their text; a text that the gate's grammar does not take tells nothing.
fn parsed_dependencies(reader: &mut Reader<'_>) {
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = usize::MAX;
    for at in 0..reader.objects.len() {
        let object = &reader.objects[at];
        let Some(text) = object.definition.as_deref().filter(|_| object.object_type == ObjectType::View)
        else {
            continue;
        };
        let Ok(checked) = harvest_gate::check(DialectName::Mariadb, text, &policy) else { continue };
        let own_schema = object.schema.clone();
        let mut found: Vec<DependencyMeta> = checked
            .tables
            .into_iter()
            .map(|table| {
                let schema = table.schema.unwrap_or_else(|| own_schema.clone());
                let object_type = reader.relation(schema.clone(), table.name.clone()).map(|o| o.object_type);
                DependencyMeta { schema, name: table.name, object_type, from_catalog: false }
            })
            .collect();
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        found.dedup();
        reader.objects[at].depends_on = found;
    }
}
