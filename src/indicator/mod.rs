//! From MISP attribute to indicators: which types are loaded, how composites
//! split, what a value must look like, and in which namespace it is kept.
//!
//! Pure: no clock, no network, no file. Every rule about a type stands in
//! [`types`], every rule about a value in `check`.

mod attribute_category;
mod check;
mod mapped;
pub mod namespace;
pub mod namespaces;
pub mod split;
pub mod types;

pub use attribute_category::ATTRIBUTE_CATEGORIES;
pub use check::Skip;
pub use mapped::{MAPPED_BITS, mapped};
pub use namespace::{Category, Namespace};
pub use namespaces::Namespaces;
pub use split::{RULES, split};
pub use types::MispType;
