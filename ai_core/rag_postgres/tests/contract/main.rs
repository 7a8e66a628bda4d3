//! The engine's contract on the store in PostgreSQL with pgvector: the same tests as on SQLite, against a live server.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says when it cannot run"
)]

#[path = "../../../rag/tests/contract/admin.rs"]
mod admin;
mod backend;
#[path = "../../../rag/tests/contract/ingest.rs"]
mod ingest;
#[path = "../../../rag/tests/contract/reads.rs"]
mod reads;
#[path = "../../../rag/tests/contract/search.rs"]
mod search;
#[path = "../../../rag/tests/contract/suite.rs"]
mod suite;
#[path = "../../../rag/tests/contract/support.rs"]
mod support;

macro_rules! run {
    ($module:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    if crate::backend::server().is_some() {
                        crate::$module::$name();
                    }
                }
            )+
        }
    };
}

mod live {
    crate::suite::suite!(run);
}
