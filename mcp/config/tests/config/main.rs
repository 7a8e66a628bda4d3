//! The configuration from outside: a runtime that remembers, an admin interface over it.

mod crash;
mod layers;
mod secrets;
mod world;
