//! Contract of the store.
