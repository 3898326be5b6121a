//! Domain and host names with their parents, and the mail addresses at them.

use super::Forms;
use super::address::is_port;
use super::refang::starts_with;
use crate::indicator::Namespace;
use std::borrow::Cow;

/// Longest name in the DNS (RFC 1035, section 2.3.4); the loader takes no longer one.
const MAX_NAME: usize = 253;

/// Longest mail address that is looked at as one (RFC 5321: 64 + 1 + 255).
const MAX_MAIL: usize = 320;

/// The full stops of East Asian text, which browsers read as dots (UTS 46).
const WIDE_DOTS: [char; 3] = ['\u{3002}', '\u{ff0e}', '\u{ff61}'];

impl Forms<'_> {
    /// A name with at least one dot, and its parents; false if it is none.
    pub(super) fn name(&mut self, plain: &str) -> bool {
        let Some(host) = host(plain) else { return false };
        self.spellings(Namespace::Domain, host, true);
        true
    }

    /// A name in its spellings: lower case, punycode, and the letters it stands for
    /// (older MISP servers kept names as they were typed). Then, if asked for, the
    /// parents of each.
    pub(super) fn spellings(&mut self, namespace: Namespace, host: &str, parents: bool) {
        let lower = lower(host);
        let other = in_other_letters(host);
        let other = other.as_deref().unwrap_or_default();
        // Today's MISP keeps punycode.
        let spellings = if lower.is_ascii() { [lower.as_ref(), other] } else { [other, lower.as_ref()] };
        let spellings = spellings.iter().filter(|s| !s.is_empty());
        for name in spellings.clone() {
            self.name_in(namespace, name);
        }
        if parents {
            for name in spellings {
                self.parents(namespace, name);
            }
        }
    }

    /// An onion address is asked for in its own namespace as well, and first there.
    fn name_in(&mut self, namespace: Namespace, name: &str) {
        if name.ends_with(".onion") {
            self.push(Namespace::Onion, name);
        }
        self.push(namespace, name);
    }

    /// The parents of a lower-case name down to the one that can be registered. A
    /// public suffix is nobody's, so it is never a parent.
    fn parents(&mut self, namespace: Namespace, name: &str) {
        let Some(registrable) = psl::domain(name.as_bytes()) else { return };
        let shortest = registrable.as_bytes().len();
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.len() < shortest {
                return;
            }
            self.name_in(namespace, parent);
            rest = parent;
        }
    }

    /// A name may as well be a file (`invoice.exe`), an application
    /// (`com.example.app`) or a URL without scheme and path. Which it is likelier
    /// to be, its last label tells.
    pub(super) fn name_or_file(&mut self, plain: &str, bare: &str) {
        let known_suffix = |name: &str| psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
        let host = host(plain).unwrap_or(plain);
        let public = known_suffix(&lower(host));
        let before = self.list.len();
        if host.len() == plain.len() {
            self.push(Namespace::Filename, bare);
            self.push(Namespace::Filename, plain);
        }
        if !public {
            self.push(Namespace::Mutex, bare);
            if super::text::is_pdb(bare) {
                self.push(Namespace::Pdb, bare);
            }
            self.list.rotate_left(before);
        }
        // An application's id is a domain backwards: it begins with a public suffix.
        if host.split('.').next().is_some_and(|label| known_suffix(&lower(label))) {
            self.push(Namespace::MobileApplication, plain);
        }
        self.push(Namespace::Url, plain);
    }

    /// A mail address, alone or behind a name (`A Name <user@example.com>`), and the
    /// domain it is at. A message id has the same form. False if it is none, or not
    /// that alone: a subject or a user agent may end in an address too.
    pub(super) fn mail(&mut self, plain: &str) -> bool {
        let (address, alone) = match plain.strip_suffix('>').and_then(|p| p.rsplit_once('<')) {
            Some((_, address)) => (address, false),
            None if starts_with(plain, "mailto:") => (&plain["mailto:".len()..], true),
            None => (plain, true),
        };
        let Some((local, at)) = address.rsplit_once('@') else { return false };
        let blank = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '/' | '\\' | '|');
        if local.is_empty() || at.is_empty() || address.len() > MAX_MAIL || address.contains(blank) {
            return false;
        }
        self.push(Namespace::Email, &address.to_lowercase());
        self.push(Namespace::Email, address);
        let _ = self.host(at) || self.name(at);
        self.push(Namespace::EmailMessageId, address);
        self.push(Namespace::EmailMessageId, &format!("<{address}>"));
        if alone {
            // `invoice@shop.htm` may be what was attached.
            self.push(Namespace::Filename, address);
        }
        alone
    }
}

/// The punycode of a name, or the letters that it stands for; `None`: it has one form.
pub(super) fn in_other_letters(host: &str) -> Option<String> {
    if !host.is_ascii() {
        // Not its lower case: at the end of a word there is another sigma.
        idna::domain_to_ascii(host).ok()
    } else if lower(host).contains("xn--") {
        let (letters, known) = idna::domain_to_unicode(host);
        known.is_ok().then_some(letters)
    } else {
        None
    }
}

/// The host of a name as typed: no port, no outer dots, no wildcard label.
pub(super) fn host(text: &str) -> Option<&str> {
    // A port, a wildcard and outer dots come on top of the name.
    if text.len() > MAX_NAME + 16 {
        return None;
    }
    let text = match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => text,
    };
    let text = text.strip_prefix("*.").unwrap_or(text).trim_matches('.');
    is_name(text).then_some(text)
}

/// At least two labels of letters, digits, `-` and `_`, of which the last is no
/// number (`10.0.19045` is a version). What else is a letter, beyond ASCII, is left
/// to the rules of punycode.
fn is_name(text: &str) -> bool {
    if text.len() > MAX_NAME {
        return false;
    }
    let (mut dots, mut length, mut digits) = (0, 0, true);
    for c in text.chars() {
        if c == '.' || WIDE_DOTS.contains(&c) {
            if length == 0 {
                return false;
            }
            (dots, length, digits) = (dots + 1, 0, true);
        } else if c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_beyond_ascii(c) {
            length += 1;
            digits &= c.is_ascii_digit();
        } else {
            return false;
        }
    }
    dots > 0 && length > 0 && !digits
}

fn is_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !c.is_control()
}

/// Lower case, and no copy where nothing changes.
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        Cow::Owned(text.to_lowercase())
    } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}
