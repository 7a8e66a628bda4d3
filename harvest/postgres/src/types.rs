//! How PostgreSQL's types are shown, and which of them the server must turn into text first; it reads no bytes.

use harvest::{ColType, Column};
use postgres::types::{Kind, Type};

/// How one column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// From its binary form.
    Binary,
    /// The server casts it to text.
    CastText,
    /// The server casts it to an array of text.
    CastTextArray,
    /// The server casts it to numeric (money).
    CastNumeric,
}

/// The column as it is shown, and how it must be read.
pub(crate) fn column(name: &str, ty: &Type) -> (Column, Reading) {
    let (col_type, reading) = scalar(ty);
    let native = ty.name().trim_start_matches('_');
    if let Kind::Array(element) = ty.kind() {
        let (element_type, element_reading) = scalar(element);
        let reading =
            if element_reading == Reading::Binary { Reading::Binary } else { Reading::CastTextArray };
        let mut column = Column::new(name, ColType::Array, format!("{native}[]"));
        column.element_type = Some(element_type);
        return (column, reading);
    }
    (Column::new(name, col_type, ty.name()), reading)
}

fn scalar(ty: &Type) -> (ColType, Reading) {
    if let Kind::Domain(inner) = ty.kind() {
        return scalar(inner);
    }
    if let Kind::Enum(_) = ty.kind() {
        return (ColType::String, Reading::Binary);
    }
    let binary = match *ty {
        Type::BOOL => ColType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => ColType::Integer,
        Type::FLOAT4 | Type::FLOAT8 => ColType::Float,
        Type::NUMERIC => ColType::Decimal,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML | Type::CHAR => {
            ColType::String
        }
        Type::BYTEA | Type::BIT | Type::VARBIT => ColType::Bytes,
        Type::DATE => ColType::Date,
        Type::TIME | Type::TIMETZ => ColType::Time,
        Type::TIMESTAMP => ColType::Datetime,
        Type::TIMESTAMPTZ => ColType::Timestamptz,
        Type::INTERVAL => ColType::Interval,
        Type::UUID => ColType::Uuid,
        Type::JSON | Type::JSONB => ColType::Json,
        Type::MONEY => return (ColType::Decimal, Reading::CastNumeric),
        _ => match ty.name() {
            "citext" => ColType::String,
            "geometry" | "geography" => ColType::Bytes,
            _ => return (ColType::String, Reading::CastText),
        },
    };
    (binary, Reading::Binary)
}
