//! Routines with their parameters, triggers and events; it does not read tables.

use std::collections::HashMap;

use harvest::{ColumnMeta, HarvestResult, ObjectMeta, ObjectType};

use super::{Reader, number, optional, text};

pub(super) fn read(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let positions = routines(reader)?;
    parameters(reader, &positions)?;
    triggers(reader)?;
    events(reader)
}

/// Routines by (schema, type, name), as positions.
type Positions = HashMap<(String, String, String), usize>;

fn routines(reader: &mut Reader<'_>) -> HarvestResult<Positions> {
    let sql = "SELECT ROUTINE_SCHEMA, ROUTINE_TYPE, ROUTINE_NAME, ROUTINE_DEFINITION, ROUTINE_COMMENT, DTD_IDENTIFIER, \
               SECURITY_TYPE, UNIX_TIMESTAMP(CREATED), UNIX_TIMESTAMP(LAST_ALTERED) FROM information_schema.ROUTINES \
               WHERE {filter} ORDER BY 1, 2, 3";
    let mut positions = Positions::new();
    for mut row in reader.rows_or_warn("routines", sql, "ROUTINE_SCHEMA", Some("ROUTINE_NAME"))? {
        let (schema, kind, name) = (text(&mut row, 0), text(&mut row, 1), text(&mut row, 2));
        let definition = optional(&mut row, 3);
        let reason = "the account may not read the body: it needs SHOW_ROUTINE, or SELECT on the routine table of schema mysql";
        let security = text(&mut row, 6).to_lowercase();
        let at = reader.add(ObjectMeta {
            schema: schema.clone(),
            name: name.clone(),
            object_type: ObjectType::Routine,
            subtype: kind.to_lowercase(),
            comment: text(&mut row, 4),
            definition_reason: definition.is_none().then(|| reason.to_owned()),
            definition,
            security: (!security.is_empty()).then_some(security),
            create_time: number(&mut row, 7),
            update_time: number(&mut row, 8),
            ..ObjectMeta::default()
        })?;
        positions.insert((schema, kind, name), at);
    }
    Ok(positions)
}

fn parameters(reader: &mut Reader<'_>, positions: &Positions) -> HarvestResult<()> {
    let sql = "SELECT SPECIFIC_SCHEMA, ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION, PARAMETER_NAME, PARAMETER_MODE, DATA_TYPE, \
               DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE ORDINAL_POSITION > 0 AND {filter} ORDER BY 1, 2, 3, 4";
    for mut row in reader.rows_or_warn("parameters", sql, "SPECIFIC_SCHEMA", Some("SPECIFIC_NAME"))? {
        let key = (text(&mut row, 0), text(&mut row, 1), text(&mut row, 2));
        let ordinal = number(&mut row, 3).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        let column = ColumnMeta {
            ordinal,
            name: optional(&mut row, 4).unwrap_or_else(|| format!("${ordinal}")),
            extra: optional(&mut row, 5).unwrap_or_else(|| "IN".to_owned()),
            data_type: text(&mut row, 6).to_lowercase(),
            column_type: text(&mut row, 7),
            nullable: true,
            ..ColumnMeta::default()
        };
        if let Some(routine) = positions.get(&key).and_then(|at| reader.objects.get_mut(*at)) {
            routine.columns.push(column);
        }
    }
    Ok(())
}

fn triggers(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT \
               FROM information_schema.TRIGGERS WHERE {filter} ORDER BY 1, 2";
    for mut row in reader.rows_or_warn("triggers", sql, "TRIGGER_SCHEMA", Some("EVENT_OBJECT_TABLE"))? {
        let table = text(&mut row, 2);
        let (timing, event) = (text(&mut row, 3), text(&mut row, 4));
        reader.add(ObjectMeta {
            schema: text(&mut row, 0),
            name: text(&mut row, 1),
            object_type: ObjectType::Trigger,
            subtype: event.clone(),
            signature: table.clone(),
            definition: optional(&mut row, 5)
                .map(|body| format!("{timing} {event} ON {table} FOR EACH ROW {body}")),
            parent: Some(table),
            ..ObjectMeta::default()
        })?;
    }
    Ok(())
}

fn events(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = "SELECT EVENT_SCHEMA, EVENT_NAME, EVENT_TYPE, EVENT_DEFINITION, EVENT_COMMENT, UNIX_TIMESTAMP(CREATED), \
               UNIX_TIMESTAMP(LAST_ALTERED) FROM information_schema.EVENTS WHERE {filter} ORDER BY 1, 2";
    for mut row in reader.rows_or_warn("events", sql, "EVENT_SCHEMA", Some("EVENT_NAME"))? {
        reader.add(ObjectMeta {
            schema: text(&mut row, 0),
            name: text(&mut row, 1),
            object_type: ObjectType::Event,
            subtype: text(&mut row, 2).to_lowercase(),
            definition: optional(&mut row, 3),
            comment: text(&mut row, 4),
            create_time: number(&mut row, 5),
            update_time: number(&mut row, 6),
            ..ObjectMeta::default()
        })?;
    }
    Ok(())
}
