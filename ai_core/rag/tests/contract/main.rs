//! Contract of the engine over its public interface, with sources and models in memory, on the store in one SQLite file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod backend;
mod ingest;
mod reads;
mod search;
mod suite;
mod support;

macro_rules! run {
    ($module:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    crate::$module::$name();
                }
            )+
        }
    };
}

mod sqlite {
    crate::suite::suite!(run);
}
