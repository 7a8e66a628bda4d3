//! A session that sends statements of our own and the caller's and reads their answers; it judges nothing.

use std::collections::HashMap;
use std::sync::Arc;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use postgres_types::{Format, FromSql, IsNull, Kind, ToSql, Type};

use crate::error::{ServerError, from_server};
use crate::wire::{Body, Frame, Wire, garbled, put_text};

/// Types that one session remembers; more are looked up again.
const TYPES_MAX: usize = 10_000;
/// Domains over domains, arrays of arrays: deeper nesting is read as text.
const TYPE_DEPTH_MAX: usize = 8;

/// A row of one of our own statements.
pub(crate) struct Row {
    types: Arc<[Type]>,
    cells: Vec<Option<Vec<u8>>>,
}

impl Row {
    /// A cell. NULL, and what is not of the type that our statement has asked for, is the type's default.
    pub(crate) fn get<'a, T: FromSql<'a> + Default>(&'a self, index: usize) -> T {
        let (Some(ty), Some(cell)) = (self.types.get(index), self.cells.get(index)) else {
            return T::default();
        };
        T::from_sql_nullable(ty, cell.as_deref()).unwrap_or_default()
    }
}

/// Name, kind letter, category, element, base type and delimiter of a type, from the server's catalog.
const TYPE_INFO: &str = "SELECT t.typname::pg_catalog.text, t.typtype::pg_catalog.text, t.typcategory::pg_catalog.text, \
    t.typelem, t.typbasetype, n.nspname::pg_catalog.text, \
    (SELECT a.typdelim::pg_catalog.text FROM pg_catalog.pg_type a WHERE a.oid OPERATOR(pg_catalog.=) t.typelem) \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
    WHERE t.oid OPERATOR(pg_catalog.=) $1";

/// One open session.
pub(crate) struct Session {
    pub(crate) wire: Wire,
    types: HashMap<u32, Type>,
}

impl Session {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, types: HashMap::new() }
    }

    /// Adds Parse of the unnamed statement.
    pub(crate) fn put_parse(&mut self, name: &str, sql: &str) -> HarvestResult<()> {
        if sql.contains('\0') {
            return Err(HarvestError::new(
                HarvestCode::InvalidArgument,
                "a statement must not hold a NUL character",
            ));
        }
        self.wire.put(b'P', |out| {
            put_text(out, name);
            put_text(out, sql);
            out.extend_from_slice(&[0, 0]);
        });
        Ok(())
    }

    /// Adds Describe of a statement.
    pub(crate) fn put_describe(&mut self, name: &str) {
        self.wire.put(b'D', |out| {
            out.push(b'S');
            put_text(out, name);
        });
    }

    /// Adds Bind, whose parameters `write` adds after their number, and Execute without a bound on rows.
    pub(crate) fn put_execute(
        &mut self,
        name: &str,
        in_binary: bool,
        params: impl FnOnce(&mut Vec<u8>),
        formats: &[u8],
    ) {
        self.wire.put(b'B', |out| {
            put_text(out, "");
            put_text(out, name);
            out.extend_from_slice(&[0, 1, 0, u8::from(in_binary)]);
            params(out);
            out.extend_from_slice(&u16::try_from(formats.len()).unwrap_or(u16::MAX).to_be_bytes());
            for format in formats {
                out.extend_from_slice(&[0, *format]);
            }
        });
        self.wire.put(b'E', |out| out.extend_from_slice(&[0; 5]));
    }

    /// Adds Sync: the server answers whatever happened and takes new commands.
    pub(crate) fn put_sync(&mut self) {
        self.wire.put(b'S', |_| {});
    }

    /// Adds a simple query of our own, which stands for itself.
    pub(crate) fn put_query(&mut self, sql: &str) {
        self.wire.put(b'Q', |out| put_text(out, sql));
    }

    /// Reads up to the next ReadyForQuery and gives the first error in between.
    pub(crate) fn until_ready(&mut self) -> HarvestResult<Option<HarvestError>> {
        let mut error = None;
        loop {
            let mut frame = self.wire.next(true)?;
            if frame.left > 0 {
                self.wire.skip(&mut frame)?;
                continue;
            }
            match frame.tag {
                b'Z' => return Ok(error),
                b'E' => {
                    let server = self.error_of(frame);
                    if server.connection_broken {
                        return Err(server);
                    }
                    error.get_or_insert(server);
                }
                b'G' | b'H' | b'W' => return Err(copy_refused()),
                _ => {}
            }
        }
    }

    pub(crate) fn error_of(&self, frame: Frame) -> HarvestError {
        from_server(&ServerError::read(self.wire.body(frame)))
    }

    /// Runs commands of our own, several at once.
    pub(crate) fn batch(&mut self, sql: &str) -> HarvestResult<()> {
        self.put_query(sql);
        self.wire.send()?;
        self.until_ready()?.map_or(Ok(()), Err)
    }

    /// Runs one statement of our own and gives its rows.
    pub(crate) fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> HarvestResult<Vec<Row>> {
        self.put_parse("own", sql)?;
        self.put_describe("own");
        self.put_sync();
        self.wire.send()?;
        let described = self.described()?;
        let mut bound = u16::try_from(params.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        for (param, oid) in params.iter().zip(&described.params) {
            put_param(&mut bound, *param, &Type::from_oid(*oid).unwrap_or(Type::TEXT))?;
        }
        self.put_execute("own", true, |out| out.extend_from_slice(&bound), &[1]);
        self.wire.put(b'C', |out| {
            out.push(b'S');
            put_text(out, "own");
        });
        self.put_sync();
        self.wire.send()?;
        let types: Arc<[Type]> =
            described.columns.iter().map(|(_, oid)| Type::from_oid(*oid).unwrap_or(Type::TEXT)).collect();
        let mut rows = Vec::new();
        loop {
            let frame = self.wire.next(false)?;
            match frame.tag {
                b'D' => rows.push(Row { types: Arc::clone(&types), cells: cells_of(self.wire.body(frame))? }),
                b'E' => {
                    let error = self.error_of(frame);
                    if !error.connection_broken {
                        self.until_ready()?;
                    }
                    return Err(error);
                }
                b'Z' => return Ok(rows),
                _ => {}
            }
        }
    }

    /// As [`query`](Self::query), for statements that give exactly one row.
    pub(crate) fn query_one(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> HarvestResult<Row> {
        self.query(sql, params)?.pop().ok_or_else(garbled)
    }

    /// Reads the answers to Parse and Describe up to ReadyForQuery.
    pub(crate) fn described(&mut self) -> HarvestResult<Described> {
        let mut described = Described::default();
        loop {
            let frame = self.wire.next(false)?;
            match frame.tag {
                b't' => described.params = params_of(self.wire.body(frame))?,
                b'T' => described.columns = columns_of(self.wire.body(frame))?,
                b'E' => {
                    let error = self.error_of(frame);
                    if !error.connection_broken {
                        self.until_ready()?;
                    }
                    return Err(error);
                }
                b'Z' => return Ok(described),
                _ => {}
            }
        }
    }

    /// The type of an oid if it is known without asking.
    pub(crate) fn known_type(&self, oid: u32) -> Option<Type> {
        Type::from_oid(oid).or_else(|| self.types.get(&oid).cloned())
    }

    /// The type of an oid; asks the catalog for what no server has built in.
    pub(crate) fn type_of(&mut self, oid: u32, depth: usize) -> HarvestResult<Type> {
        if let Some(known) = self.known_type(oid) {
            return Ok(known);
        }
        let rows = self.query(TYPE_INFO, &[&oid])?;
        let simple = |name: String| Type::new(name, oid, Kind::Simple, String::new());
        let Some(row) = rows.first().filter(|_| depth < TYPE_DEPTH_MAX) else {
            return Ok(simple("unknown".to_owned()));
        };
        let (name, letter, category): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (element, base, schema): (u32, u32, String) = (row.get(3), row.get(4), row.get(5));
        let delimiter: String = row.get(6);
        let kind = match (letter.as_str(), category.as_str()) {
            ("d", _) => Kind::Domain(self.type_of(base, depth + 1)?),
            // An array with another delimiter has a text form of its own, and is shown in it.
            (_, "A") if element != 0 && delimiter == "," => Kind::Array(self.type_of(element, depth + 1)?),
            ("e", _) => Kind::Enum(Vec::new()),
            ("p", _) => Kind::Pseudo,
            _ => Kind::Simple,
        };
        let ty = Type::new(name, oid, kind, schema);
        if self.types.len() < TYPES_MAX {
            self.types.insert(oid, ty.clone());
        }
        Ok(ty)
    }
}

/// What the server says of a statement: oids of its parameters, names and oids of its columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) params: Vec<u32>,
    pub(crate) columns: Vec<(String, u32)>,
}

fn params_of(body: &[u8]) -> HarvestResult<Vec<u32>> {
    let mut body = Body(body);
    let count = body.u16()?;
    (0..count).map(|_| body.u32()).collect()
}

/// Reads a row description.
pub(crate) fn columns_of(body: &[u8]) -> HarvestResult<Vec<(String, u32)>> {
    let mut body = Body(body);
    let count = body.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = body.text()?.to_owned();
        body.bytes(6)?;
        let oid = body.u32()?;
        body.bytes(8)?;
        columns.push((name, oid));
    }
    Ok(columns)
}

fn cells_of(body: &[u8]) -> HarvestResult<Vec<Option<Vec<u8>>>> {
    let mut body = Body(body);
    let count = body.u16()?;
    (0..count).map(|_| Ok(body.cell()?.map(<[u8]>::to_vec))).collect()
}

/// Adds one parameter of our own in binary form.
fn put_param(out: &mut Vec<u8>, param: &(dyn ToSql + Sync), ty: &Type) -> HarvestResult<()> {
    let refused = |_| HarvestError::new(HarvestCode::Internal, "a parameter does not fit its statement");
    let mut bytes = postgres_types::private::BytesMut::new();
    debug_assert!(matches!(param.encode_format(ty), Format::Binary));
    match param.to_sql_checked(ty, &mut bytes).map_err(refused)? {
        IsNull::Yes => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        IsNull::No => {
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&bytes);
        }
    }
    Ok(())
}

/// Rows are read as rows; a session in the middle of a copy is closed.
pub(crate) fn copy_refused() -> HarvestError {
    HarvestError::new(HarvestCode::FailedPrecondition, "the statement copies data: send one that reads")
        .broken()
}
