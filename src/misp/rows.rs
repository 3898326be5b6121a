//! From a row of MISP's to the indicators that are kept of it. Pure: the same for
//! rows of an answer and for live messages.

use super::attribute::Attribute;
use super::query::Query;
use crate::indicator::{MispType, Namespace, Skip, split};
use crate::ledger::record::{MAX_VALUE, Record};

/// Hands each indicator of a row to `push`; none if the row is not asked for. Gives
/// why the row is no indicator, where it should be one.
///
/// # Errors
/// Those of `push`.
pub fn indicators<'a, E>(
    row: &'a Attribute<'_>,
    query: &Query,
    context: &'a str,
    mut push: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Option<Skip>, E> {
    // A search for email-src or email-dst brings `email` too (recordings,
    // "Types"); what was not asked for is passed over.
    if row.deleted || (query.to_ids() && !row.to_ids) {
        return Ok(None);
    }
    let Some(kind) = MispType::from_name(&row.kind) else { return Ok(Some(Skip::UnknownType)) };
    if !query.wants(kind) {
        return Ok(None);
    }
    if row.value.len() > MAX_VALUE {
        return Ok(Some(Skip::TooLong));
    }
    let timestamp = u32::try_from(row.timestamp).unwrap_or(u32::MAX);
    let mut pushed = Ok(());
    let outcome = split(kind, &row.value, |namespace, value| {
        if pushed.is_ok() {
            pushed = push(Record { namespace, kind, timestamp, value, context });
        }
    });
    pushed?;
    if outcome.is_ok()
        && query.file_names()
        && kind.name() == "filename|sha256"
        && let Some((name, hash)) = row.value.trim().rsplit_once('|')
    {
        // Kept as `HASH|file name`, for Falco's hash list only.
        let value = format!("{}|{}", hash.trim(), name.trim());
        push(Record { namespace: Namespace::Sha256Name, kind, timestamp, value: &value, context: "" })?;
    }
    Ok(outcome.err())
}
