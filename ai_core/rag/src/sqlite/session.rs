//! A SQLite connection as a session: binds values, spells lists as JSON; it knows no table but those of vectors and words.

use std::borrow::Cow;

use ai_core::{AiResult, Allowed, Deadline, Metric, VectorHit};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::vectors;
use crate::database::{EachRow, EachVector, Row, Session, SqlFamily, SqlValue, VectorSpace, Words};
use crate::sql::sql;

/// Whole numbers as a JSON array, for `json_each`.
pub(super) fn list(values: &[i64]) -> String {
    let mut out = String::with_capacity(values.len() * 8 + 2);
    out.push('[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&value.to_string());
    }
    out.push(']');
    out
}

struct Bound<'a>(&'a SqlValue);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            SqlValue::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            SqlValue::Int(i) => ToSqlOutput::Borrowed(ValueRef::Integer(*i)),
            SqlValue::Real(x) => ToSqlOutput::Borrowed(ValueRef::Real(*x)),
            SqlValue::Text(t) => ToSqlOutput::Borrowed(ValueRef::Text(t.as_bytes())),
            SqlValue::Blob(b) => ToSqlOutput::Borrowed(ValueRef::Blob(b)),
            SqlValue::Ints(items) => ToSqlOutput::Owned(Value::Text(list(items))),
            SqlValue::Texts(items) => {
                let text = serde_json::to_string(items)
                    .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
                ToSqlOutput::Owned(Value::Text(text))
            }
        })
    }
}

/// Writes `{list:1}` as a subquery over a JSON array.
fn spelled(text: &str) -> Cow<'_, str> {
    if !text.contains("{list:") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{list:") {
        let Some((number, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str("IN (SELECT value FROM json_each(?");
        out.push_str(number);
        out.push_str("))");
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn cell(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(i) => SqlValue::Int(i),
        ValueRef::Real(x) => SqlValue::Real(x),
        ValueRef::Text(t) => SqlValue::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => SqlValue::Blob(b.to_vec()),
    }
}

impl Session for Connection {
    fn family(&self) -> SqlFamily {
        SqlFamily::Sqlite
    }

    fn execute(&self, text: &str, values: &[SqlValue]) -> AiResult<u64> {
        self.prepare_cached(&spelled(text))
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(values.iter().map(Bound))))
            .map(|n| n as u64)
            .map_err(sql)
    }

    fn visit(&self, text: &str, values: &[SqlValue], each: EachRow<'_>) -> AiResult<()> {
        let mut statement = self.prepare_cached(&spelled(text)).map_err(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values.iter().map(Bound))).map_err(sql)?;
        let mut cells = Vec::with_capacity(columns);
        while let Some(row) = rows.next().map_err(sql)? {
            cells.clear();
            for at in 0..columns {
                cells.push(cell(row.get_ref(at).map_err(sql)?));
            }
            each(&Row::new(&cells))?;
        }
        Ok(())
    }

    fn batch(&self, text: &str) -> AiResult<()> {
        self.execute_batch(text).map_err(sql)
    }

    fn create_vectors(&self, space: &VectorSpace) -> AiResult<()> {
        vectors::create(self, space)
    }

    fn drop_vectors(&self, space: &VectorSpace) -> AiResult<()> {
        self.execute_batch(&format!("DROP TABLE IF EXISTS {}", space.table())).map_err(sql)
    }

    fn put_vectors(&self, space: &VectorSpace, items: &[(i64, i64, &[f32])]) -> AiResult<()> {
        items.iter().try_for_each(|(pk, source, vector)| vectors::put(self, space, *pk, *source, vector))
    }

    fn remove_vectors(&self, space: &VectorSpace, chunk_pks: &[i64]) -> AiResult<()> {
        chunk_pks.iter().try_for_each(|pk| vectors::remove(self, space, *pk))
    }

    fn visit_vectors(
        &self,
        space: &VectorSpace,
        chunk_pks: Option<&[i64]>,
        each: EachVector<'_>,
    ) -> AiResult<()> {
        vectors::visit(self, space, chunk_pks, each)
    }

    fn nearest(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        vectors::nearest(self, space, query, k, allowed, deadline)
    }

    fn distances(
        &self,
        space: &VectorSpace,
        metric: Metric,
        query: &[f32],
        chunk_pks: &[i64],
    ) -> AiResult<Vec<VectorHit>> {
        let mut out = Vec::with_capacity(chunk_pks.len());
        vectors::visit(self, space, Some(chunk_pks), &mut |chunk_pk, _, vector| {
            out.push(VectorHit { chunk_pk, distance: metric.distance(query, vector) });
            Ok(())
        })?;
        Ok(out)
    }

    fn count_vectors(&self, space: &VectorSpace) -> AiResult<u64> {
        self.query_row(&format!("SELECT count(*) FROM {}_rowids", space.table()), [], |r| r.get::<_, i64>(0))
            .map(|n| n.max(0) as u64)
            .map_err(sql)
    }

    fn size_bytes(&self) -> AiResult<u64> {
        self.query_row(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            [],
            |r| r.get::<_, i64>(0),
        )
        .map(|n| n.max(0) as u64)
        .map_err(sql)
    }

    fn words(&self) -> Option<&dyn Words> {
        Some(self)
    }
}
