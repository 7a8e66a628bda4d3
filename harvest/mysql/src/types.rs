//! How the engines' column types are shown; it reads no values.

use harvest::{ColType, Column};
use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::packets;

/// The character set number of bytes without a character set.
const BINARY_CHARSET: u16 = 63;

/// The column as it is shown.
pub(crate) fn column(source: &packets::Column) -> Column {
    let flags = source.flags();
    let unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let binary = source.character_set() == BINARY_CHARSET;
    let (col_type, native) = match source.column_type() {
        ColumnType::MYSQL_TYPE_TINY => (ColType::Integer, "tinyint"),
        ColumnType::MYSQL_TYPE_SHORT => (ColType::Integer, "smallint"),
        ColumnType::MYSQL_TYPE_INT24 => (ColType::Integer, "mediumint"),
        ColumnType::MYSQL_TYPE_LONG => (ColType::Integer, "int"),
        ColumnType::MYSQL_TYPE_LONGLONG => (ColType::Integer, "bigint"),
        ColumnType::MYSQL_TYPE_YEAR => (ColType::Integer, "year"),
        ColumnType::MYSQL_TYPE_FLOAT => (ColType::Float, "float"),
        ColumnType::MYSQL_TYPE_DOUBLE => (ColType::Float, "double"),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => (ColType::Decimal, "decimal"),
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => (ColType::Date, "date"),
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => (ColType::Time, "time"),
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => (ColType::Datetime, "datetime"),
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => {
            (ColType::Datetime, "timestamp")
        }
        ColumnType::MYSQL_TYPE_BIT => (ColType::Bytes, "bit"),
        ColumnType::MYSQL_TYPE_JSON => (ColType::Json, "json"),
        ColumnType::MYSQL_TYPE_GEOMETRY => (ColType::Bytes, "geometry"),
        ColumnType::MYSQL_TYPE_VECTOR => (ColType::Bytes, "vector"),
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => (ColType::String, "enum"),
        _ if flags.contains(ColumnFlags::SET_FLAG) => (ColType::String, "set"),
        ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB => {
            if binary {
                (ColType::Bytes, "blob")
            } else {
                (ColType::String, "text")
            }
        }
        ColumnType::MYSQL_TYPE_STRING => {
            if binary {
                (ColType::Bytes, "binary")
            } else {
                (ColType::String, "char")
            }
        }
        ColumnType::MYSQL_TYPE_NULL => (ColType::String, "null"),
        _ => {
            if binary {
                (ColType::Bytes, "varbinary")
            } else {
                (ColType::String, "varchar")
            }
        }
    };
    let native = if unsigned && matches!(col_type, ColType::Integer) && native != "year" {
        format!("{native} unsigned")
    } else {
        native.to_owned()
    };
    Column::new(source.name_str(), col_type, native)
}
