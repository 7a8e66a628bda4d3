//! Phase 2 over a real SQLite file, the real tools and a scripted model.

mod injection;
mod resume;
mod shop;
