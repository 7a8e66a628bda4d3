//! The configuration from outside: a runtime that remembers, an admin interface over it.

mod layers;
mod world;
