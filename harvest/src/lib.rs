//! Seam of the database side: what a driver, a connection, a value and a schema are; it knows no engine and no protocol.
