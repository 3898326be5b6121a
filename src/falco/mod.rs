//! Falco: the addresses that MISP lists as rules, and plain lists beside them.

mod newest;
mod range;
pub mod render;
pub mod select;

pub use select::{Cut, DirectionLists, Lists, Selection};
