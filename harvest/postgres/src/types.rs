//! How PostgreSQL's types are shown, and in which form each is asked for; it reads no bytes.

use harvest::{ColType, Column};
use postgres_types::{Kind, Type};

/// How one column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// From its binary form.
    Binary,
    /// From the text that the server writes for it.
    Text,
    /// From the text that the server writes for an array, elements as text; with the delimiter between them.
    TextArray(u8),
    /// The server casts it to numeric (money).
    CastNumeric,
    /// The server casts it to an array of numerics (arrays of money).
    CastNumericArray,
}

impl Reading {
    /// The code of the form that the server is asked for.
    pub(crate) fn format(self) -> u8 {
        u8::from(!matches!(self, Self::Text | Self::TextArray(_)))
    }

    /// The cast that the server must do first.
    pub(crate) fn cast(self) -> Option<&'static str> {
        match self {
            Self::CastNumeric => Some("pg_catalog.numeric"),
            Self::CastNumericArray => Some("pg_catalog.numeric[]"),
            _ => None,
        }
    }
}

/// The column as it is shown, and how it must be read.
pub(crate) fn column(name: &str, ty: &Type) -> (Column, Reading) {
    if *ty == Type::RECORD_ARRAY {
        let mut column = Column::new(name, ColType::Array, "record[]");
        column.element_type = Some(ColType::String);
        return (column, Reading::TextArray(b','));
    }
    let Kind::Array(element) = behind_domains(ty).kind() else {
        let (col_type, reading) = scalar(ty);
        return (Column::new(name, col_type, ty.name()), reading);
    };
    let (element_type, element_reading) = scalar(element);
    let reading = match element_reading {
        Reading::Binary => Reading::Binary,
        Reading::CastNumeric => Reading::CastNumericArray,
        _ if *element == Type::BOX => Reading::TextArray(b';'),
        _ => Reading::TextArray(b','),
    };
    let native = match ty.kind() {
        Kind::Array(_) if matches!(*ty, Type::INT2_VECTOR | Type::OID_VECTOR) => ty.name().to_owned(),
        Kind::Array(_) => format!("{}[]", element.name()),
        _ => ty.name().to_owned(),
    };
    let mut column = Column::new(name, ColType::Array, native);
    column.element_type = Some(element_type);
    (column, reading)
}

/// The type that a domain, or a domain over a domain, stands for.
fn behind_domains(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

fn scalar(ty: &Type) -> (ColType, Reading) {
    let ty = behind_domains(ty);
    match ty.kind() {
        Kind::Enum(_) => return (ColType::String, Reading::Binary),
        // An array of a domain over an array.
        Kind::Array(element) => {
            let reading = if scalar(element).1 == Reading::Binary { Reading::Binary } else { Reading::Text };
            let shown = if reading == Reading::Binary { ColType::Array } else { ColType::String };
            return (shown, reading);
        }
        _ => {}
    }
    let binary = match *ty {
        Type::BOOL => ColType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => ColType::Integer,
        Type::FLOAT4 | Type::FLOAT8 => ColType::Float,
        Type::NUMERIC => ColType::Decimal,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => ColType::String,
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
            _ => return (ColType::String, Reading::Text),
        },
    };
    (binary, Reading::Binary)
}
