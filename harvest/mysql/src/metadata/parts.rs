//! Columns, indexes, keys, constraints and partitions of tables; it adds no objects.

use harvest::{
    ColumnMeta, ConstraintMeta, ConstraintType, ForeignKeyMeta, HarvestResult, IndexColumnMeta, IndexMeta,
    MetadataStage,
};

use super::{Reader, number, optional, text};

pub(super) fn columns(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Columns, 0)?;
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, \
               COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT \
               FROM information_schema.COLUMNS WHERE {filter} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION";
    let mariadb = reader.mariadb;
    for mut row in reader.rows(sql, "TABLE_SCHEMA", Some("TABLE_NAME"))? {
        let column_type = text(&mut row, 5);
        let data_type = text(&mut row, 4).to_lowercase();
        let default = optional(&mut row, 7);
        let column = ColumnMeta {
            ordinal: number(&mut row, 2).and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            name: text(&mut row, 3),
            nullable: text(&mut row, 6) == "YES",
            // MariaDB writes expressions, and so the word NULL for a default that is none.
            default: default.filter(|d| !(mariadb && d == "NULL")),
            extra: text(&mut row, 8).to_lowercase(),
            generation_expr: optional(&mut row, 9).filter(|e| !e.is_empty()),
            enum_values: matches!(data_type.as_str(), "enum" | "set").then(|| labels(&column_type)),
            charset: optional(&mut row, 10),
            collation: optional(&mut row, 11),
            comment: text(&mut row, 12),
            data_type,
            column_type,
        };
        if let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) {
            table.columns.push(column);
        }
    }
    Ok(())
}

/// The labels of `enum('a','b''c')` or `set(…)`.
fn labels(column_type: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut chars = column_type.chars().skip_while(|c| *c != '(').skip(1).peekable();
    while let Some(c) = chars.next() {
        if c != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                other => label.push(other),
            }
        }
        labels.push(label);
    }
    labels
}

pub(super) fn indexes(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Indexes, 0)?;
    let (expression, visible) =
        if reader.mariadb { ("NULL", "IGNORED = 'NO'") } else { ("EXPRESSION", "IS_VISIBLE = 'YES'") };
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, CARDINALITY, {visible}, INDEX_COMMENT, SEQ_IN_INDEX, \
         COLUMN_NAME, {expression}, SUB_PART, COLLATION FROM information_schema.STATISTICS WHERE {{filter}} \
         ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    );
    for mut row in reader.rows(&sql, "TABLE_SCHEMA", Some("TABLE_NAME"))? {
        let part = IndexColumnMeta {
            name: optional(&mut row, 9),
            expression: optional(&mut row, 10),
            sub_part: number(&mut row, 11),
            descending: text(&mut row, 12) == "D",
            ..IndexColumnMeta::default()
        };
        let name = text(&mut row, 2);
        let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) else { continue };
        if number(&mut row, 8) == Some(1) {
            table.indexes.push(IndexMeta {
                unique: number(&mut row, 3) == Some(0),
                primary: name == "PRIMARY",
                name,
                index_type: optional(&mut row, 4),
                cardinality: number(&mut row, 5),
                predicate: None,
                visible: number(&mut row, 6) != Some(0),
                comment: text(&mut row, 7),
                columns: Vec::new(),
            });
        } else if let Some(index) = table.indexes.last_mut() {
            // The cardinality of the whole key is that of its last part.
            index.cardinality = number(&mut row, 5).or(index.cardinality);
        }
        if let Some(index) = table.indexes.last_mut() {
            index.columns.push(part);
        }
    }
    Ok(())
}

pub(super) fn foreign_keys(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::ForeignKeys, 0)?;
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, COLUMN_NAME, \
               REFERENCED_COLUMN_NAME, ORDINAL_POSITION FROM information_schema.KEY_COLUMN_USAGE \
               WHERE REFERENCED_TABLE_NAME IS NOT NULL AND {filter} ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";
    for mut row in reader.rows(sql, "TABLE_SCHEMA", Some("TABLE_NAME"))? {
        let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) else { continue };
        if number(&mut row, 7) == Some(1) {
            table.foreign_keys.push(ForeignKeyMeta {
                name: text(&mut row, 2),
                parent_schema: text(&mut row, 3),
                parent_table: text(&mut row, 4),
                ..ForeignKeyMeta::default()
            });
        }
        if let Some(key) = table.foreign_keys.last_mut() {
            key.columns.push((text(&mut row, 5), text(&mut row, 6)));
        }
    }
    let sql = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE \
               FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE {filter} ORDER BY 1, 2, 3";
    for mut row in reader.rows(sql, "CONSTRAINT_SCHEMA", Some("TABLE_NAME"))? {
        let (name, update, delete) = (text(&mut row, 2), optional(&mut row, 3), optional(&mut row, 4));
        let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) else { continue };
        if let Some(key) = table.foreign_keys.iter_mut().find(|k| k.name == name) {
            key.on_update = update;
            key.on_delete = delete;
        }
    }
    Ok(())
}

pub(super) fn constraints(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Constraints, 0)?;
    let sql = "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS t \
               WHERE t.CONSTRAINT_TYPE = 'UNIQUE' AND {filter} ORDER BY 1, 2, 3";
    for mut row in reader.rows(sql, "t.TABLE_SCHEMA", Some("t.TABLE_NAME"))? {
        let name = text(&mut row, 2);
        let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) else { continue };
        // A unique constraint is its index; the columns are those of the index of the same name.
        let columns = table
            .indexes
            .iter()
            .find(|i| i.name == name)
            .map(|i| i.columns.iter().filter_map(|c| c.name.clone()).collect());
        table.constraints.push(ConstraintMeta {
            name,
            constraint_type: ConstraintType::Unique,
            columns: columns.unwrap_or_default(),
            expression: None,
        });
    }
    let sql = if reader.mariadb {
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
         WHERE {filter} ORDER BY 1, 2, 3"
    } else {
        "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.TABLE_CONSTRAINTS t \
         JOIN information_schema.CHECK_CONSTRAINTS c ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA \
         AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME WHERE t.CONSTRAINT_TYPE = 'CHECK' AND {filter} ORDER BY 1, 2, 3"
    };
    let (schema, name) =
        if reader.mariadb { ("CONSTRAINT_SCHEMA", "TABLE_NAME") } else { ("t.TABLE_SCHEMA", "t.TABLE_NAME") };
    for mut row in reader.rows_or_warn("check_constraints", sql, schema, Some(name))? {
        let constraint = ConstraintMeta {
            name: text(&mut row, 2),
            constraint_type: ConstraintType::Check,
            columns: Vec::new(),
            expression: optional(&mut row, 3),
        };
        if let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) {
            table.constraints.push(constraint);
        }
    }
    Ok(())
}

/// Partitions are told in one sentence on their table.
pub(super) fn partitions(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, COUNT(DISTINCT PARTITION_NAME) \
               FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL AND {filter} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2";
    for mut row in reader.rows(sql, "TABLE_SCHEMA", Some("TABLE_NAME"))? {
        let (method, count) = (text(&mut row, 2), number(&mut row, 4).unwrap_or_default());
        let sentence = match optional(&mut row, 3) {
            Some(expression) => format!("PARTITION BY {method} ({expression}), {count} partitions"),
            None => format!("PARTITION BY {method}, {count} partitions"),
        };
        if let Some(table) = reader.relation(text(&mut row, 0), text(&mut row, 1)) {
            table.partitioning = Some(sentence);
            table.subtype = "partitioned".to_owned();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn labels_of_enums_and_sets() {
        assert_eq!(labels("enum('a','b''c','d,e')"), ["a", "b'c", "d,e"]);
        assert_eq!(labels("set('x')"), ["x"]);
        assert_eq!(labels("int(11)"), [""; 0]);
    }
}
