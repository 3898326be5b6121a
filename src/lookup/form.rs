//! From what a person or a program typed to what memcached may hold it as.
//!
//! MISP has normalised what it holds (each type in its own way); logs and people
//! have not. So a value is tidied, its shape is recognised, and the few spellings
//! that MISP could have of it are listed, best first. A value with a clear shape
//! is asked for only where that shape belongs; a value without one is asked for in
//! every namespace of plain text. Pure: no key, no cache, no clock.

mod address;
mod hash;
mod name;
mod refang;
mod text;
mod url;

use super::held::Held;
use crate::indicator::Namespace;
use std::borrow::Cow;
use std::net::IpAddr;

/// Longest value that is looked up: MISP keeps no longer one (its column's size),
/// so a longer one cannot match.
pub const MAX_VALUE: usize = 65_535;

/// Most candidates of one value, so that no line of input can make the program
/// ask without end. The longest honest list is an IPv4-mapped address as the host
/// of a URL while every prefix length is in use (33 + 129 networks and some twenty
/// spellings) or a name of 127 labels in two alphabets; both fit.
pub const MAX_CANDIDATES: usize = 288;

/// A value that memcached may hold, and the namespace it would be held in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The middle part of the key.
    pub namespace: Namespace,
    /// The value as MISP would show it.
    pub value: String,
}

/// What `value` may be held as where the cache has anything, best first and each
/// once, at most [`MAX_CANDIDATES`]. A value over [`MAX_VALUE`] bytes has none.
pub fn candidates(value: &str, held: &Held) -> Vec<Candidate> {
    let mut forms = Forms::new(held);
    each_spelling(value, |value| forms.any(value));
    forms.list
}

/// What `value` may be held as in this one namespace: normalised as MISP does it
/// there, then as typed. Neither parent domains nor networks are added.
pub fn candidates_in(namespace: Namespace, value: &str) -> Vec<Candidate> {
    let held = Held::default();
    let mut forms = Forms::new(&held);
    each_spelling(value, |value| {
        let Some(typed) = Typed::new(value) else { return };
        forms.within(namespace, &typed.plain);
        forms.push(namespace, typed.bare);
        forms.push(namespace, typed.trimmed);
    });
    forms.list
}

/// The address that `value` is, in any of the spellings that are looked up.
pub fn address_of(value: &str) -> Option<IpAddr> {
    address::parse(&Typed::new(value)?.plain)
}

/// The text as it was before somebody made its addresses harmless (`10[.]0[.]0[.]1`).
pub fn refanged(text: &str) -> Cow<'_, str> {
    refang::refang(text)
}

/// The value and, where it has characters beyond U+FFFF, what MISP makes of them:
/// a `?` each (recordings, `trials_normalisation.json`).
fn each_spelling(value: &str, mut each: impl FnMut(&str)) {
    if value.len() > MAX_VALUE {
        return;
    }
    each(value);
    if let Cow::Owned(kept) = as_kept(value) {
        each(&kept);
    }
}

/// A text as MISP's database keeps it.
fn as_kept(text: &str) -> Cow<'_, str> {
    // The first byte of a character beyond U+FFFF is 0xF0 or more.
    if text.bytes().all(|b| b < 0xf0) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c > '\u{ffff}' { '?' } else { c }).collect())
}

/// A value as typed, and what is left of it when the wrapping is taken off.
struct Typed<'a> {
    /// Without outer blanks, as the loader keeps it.
    trimmed: &'a str,
    /// Without quotes, angle brackets and invisible marks around it.
    bare: &'a str,
    /// Refanged. Types of plain text are not refanged by MISP, so both are kept.
    plain: Cow<'a, str>,
}

impl<'a> Typed<'a> {
    fn new(value: &'a str) -> Option<Typed<'a>> {
        let trimmed = value.trim();
        let bare = match refang::unquote(refang::trim(trimmed)) {
            "" => trimmed,
            bare => bare,
        };
        (!trimmed.is_empty()).then(|| Typed { trimmed, bare, plain: refang::refang(bare) })
    }
}

/// The list while it grows. Each kind of shape adds to it from its own file.
struct Forms<'a> {
    held: &'a Held,
    list: Vec<Candidate>,
}

impl<'a> Forms<'a> {
    fn new(held: &'a Held) -> Forms<'a> {
        Forms { held, list: Vec::with_capacity(8) }
    }

    /// Adds one, unless it is there, nothing can be there, or the list is full.
    fn push(&mut self, namespace: Namespace, value: &str) {
        if !self.held.has(namespace) {
            return;
        }
        let known = |c: &Candidate| c.namespace == namespace && c.value == value;
        if !value.is_empty() && self.list.len() < MAX_CANDIDATES && !self.list.iter().any(known) {
            self.list.push(Candidate { namespace, value: value.to_owned() });
        }
    }

    /// Recognises the shape. Those that cannot be anything else come first.
    fn any(&mut self, value: &str) {
        let Some(typed) = Typed::new(value) else { return };
        let plain = typed.plain.as_ref();
        if self.hash(plain) || self.host(plain) || self.network(plain) {
            return;
        }
        if self.url(plain) {
            // A server that did not refang has it as it was typed.
            self.push(Namespace::Url, typed.bare);
            return;
        }
        if self.regkey(plain) {
            self.composite(plain);
            return;
        }
        if self.mail(plain) || self.pipe(plain) || self.mac(plain) {
            return;
        }
        if self.name(plain) {
            self.name_or_file(plain, typed.bare);
            // Letters of any script can be a name or the subject of a mail.
            if plain.is_ascii() {
                return;
            }
        }
        self.composite(plain);
        if self.short_url(plain) && !plain.contains(char::is_whitespace) {
            self.push(Namespace::UserAgent, typed.bare);
            self.push(Namespace::Filename, typed.bare);
            return;
        }
        self.text(&typed);
    }

    /// The halves of `value1|value2` that are loaded, as MISP shows a composite.
    fn composite(&mut self, plain: &str) {
        let Some((first, second)) = plain.split_once('|') else { return };
        let (first, second) = (first.trim(), second.trim());
        if second.contains('|') || self.hash(second) {
            return;
        }
        if address::is_port(second) {
            let _ = self.host(first) || self.name(first);
        } else if address::parse(second).is_some() {
            self.name(first);
            self.host(second);
        } else {
            self.regkey(first);
        }
    }

    /// The spellings of `plain` in one namespace.
    fn within(&mut self, namespace: Namespace, plain: &str) {
        match namespace {
            Namespace::Ip | Namespace::Cidr => {
                let _ = self.host(plain) || self.network(plain);
            }
            Namespace::Domain | Namespace::Onion => {
                self.spellings(namespace, name::host(plain).unwrap_or(plain), false);
            }
            Namespace::Url => {
                if plain.starts_with('/') {
                    self.path_alone(plain);
                }
                let _ = self.url(plain) || self.short_url(plain);
            }
            Namespace::EmailMessageId => {
                self.mail(plain);
            }
            Namespace::Email => {
                self.mail(plain);
                self.push(namespace, &plain.to_lowercase());
            }
            Namespace::Regkey => {
                self.regkey(plain);
            }
            Namespace::NamedPipe => self.pipe_names(plain),
            Namespace::Filename => {
                self.push(namespace, plain);
                self.push(namespace, text::last_component(plain));
            }
            Namespace::Asn => self.as_number(plain),
            Namespace::Mac => {
                let _ = self.mac(plain) || self.mac_digits(plain);
            }
            _ => self.digest(namespace, plain),
        }
        // Shapes with more than one namespace have filled in the others as well.
        self.list.retain(|c| c.namespace == namespace);
        self.push(namespace, plain);
    }
}

#[cfg(test)]
mod tests;
