//! What has no shape of its own: file names, mutexes, user agents and the like;
//! and the small shapes (AS numbers, MAC addresses) that may as well be such text.

use super::refang::starts_with;
use super::{Forms, Typed};
use crate::indicator::Namespace;

/// The namespaces of plain text, the likelier ones first. A URL is among them:
/// MISP takes any text as one.
const TEXT: [Namespace; 13] = [
    Namespace::Filename,
    Namespace::UserAgent,
    Namespace::Mutex,
    Namespace::Url,
    Namespace::Pdb,
    Namespace::Regkey,
    Namespace::NamedPipe,
    Namespace::Service,
    Namespace::ScheduledTask,
    Namespace::EmailSubject,
    Namespace::EmailMailer,
    Namespace::EmailMessageId,
    Namespace::EmailBoundary,
];

/// The roots of the registry, short and long.
const ROOTS: [(&str, &str); 5] = [
    ("HKLM", "HKEY_LOCAL_MACHINE"),
    ("HKCU", "HKEY_CURRENT_USER"),
    ("HKU", "HKEY_USERS"),
    ("HKCR", "HKEY_CLASSES_ROOT"),
    ("HKCC", "HKEY_CURRENT_CONFIG"),
];

/// The places of `HKU` and of `HKCU` in [`ROOTS`].
const OF_USERS: usize = 2;
const OF_ONE_USER: usize = 1;

/// Where a named pipe is found; the first is how MISP's users write it.
const PIPES: [&str; 3] = ["\\\\.\\pipe\\", "\\\\?\\pipe\\", "\\Device\\NamedPipe\\"];

/// Characters of base58, in which coins write their addresses: no 0, O, I, l.
fn is_base58(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l'))
}

impl Forms<'_> {
    /// A value that is nothing else, in every namespace of plain text.
    pub(super) fn text(&mut self, typed: &Typed<'_>) {
        let plain = typed.plain.as_ref();
        self.small(plain);
        let first = likeliest(typed.bare);
        self.push(first, typed.bare);
        if first == Namespace::Url {
            self.path_alone(plain);
        }
        for namespace in TEXT {
            self.push(namespace, typed.bare);
            if namespace == Namespace::Filename {
                self.push(namespace, last_component(typed.bare));
            }
        }
        // Sysmon writes a pipe as `\NAME`, and a name may have backslashes in it.
        if typed.bare.starts_with('\\') && !typed.bare.starts_with("\\\\") {
            self.pipe_names(typed.bare);
        }
        if plain != typed.bare {
            self.push(Namespace::Filename, last_component(plain));
        }
        for text in [plain, typed.trimmed].into_iter().filter(|t| *t != typed.bare) {
            for namespace in TEXT {
                self.push(namespace, text);
            }
        }
    }

    /// Shapes so small that plain text can look the same.
    fn small(&mut self, plain: &str) {
        // None is longer than a Monero address with a payment id.
        if plain.len() > 106 || plain.contains(char::is_whitespace) && !starts_with(plain, "as") {
            return;
        }
        self.as_number(plain);
        self.mac_digits(plain);
        if plain.parse::<i32>().is_ok() {
            self.push(Namespace::Favicon, plain);
        }
        match plain.len() {
            // base58 begins with 1 or 3; bech32 knows one case only.
            26..=35 if plain.starts_with(['1', '3']) && is_base58(plain) => self.push(Namespace::Btc, plain),
            14..=90 if starts_with(plain, "bc1") => self.push(Namespace::Btc, &plain.to_ascii_lowercase()),
            95 | 106 if plain.starts_with(['4', '8']) && is_base58(plain) => self.push(Namespace::Xmr, plain),
            _ => {}
        }
        // Version 1, a colon, and a SHA-1 in base64.
        if plain.len() == 30 && plain.starts_with("1:") && plain.ends_with('=') {
            self.push(Namespace::CommunityId, plain);
        }
        let word = plain.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain.len() == 32 && plain.bytes().all(|b| (b'a'..=b'p').contains(&b)) {
            self.push(Namespace::ChromeExtension, plain);
        }
        if word {
            // It has no outer form but letters and digits.
            self.push(Namespace::Vhash, plain);
        }
        if plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            self.push(Namespace::Domain, &plain.to_ascii_lowercase());
        }
    }

    /// `AS9009`, `ASN 9009`, `9009`, or `1.10` as 65546: digits.
    pub(super) fn as_number(&mut self, plain: &str) {
        let bare = ["asn", "as"].iter().find(|p| starts_with(plain, p)).map_or(plain, |p| plain[p.len()..].trim());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits(bare) {
            if let Ok(number) = bare.parse::<u32>() {
                self.push(Namespace::Asn, &number.to_string());
            }
        } else if let Some((high, low)) = bare.split_once('.')
            && digits(high)
            && digits(low)
            && let (Ok(high), Ok(low)) = (high.parse::<u16>(), low.parse::<u16>())
        {
            self.push(Namespace::Asn, &((u32::from(high) << 16) + u32::from(low)).to_string());
        }
    }

    /// A MAC address with any separator: pairs with colons, lower case. False if it
    /// is none.
    pub(super) fn mac(&mut self, plain: &str) -> bool {
        // From two groups of six digits to six pairs.
        if !(13..=17).contains(&plain.len()) {
            return false;
        }
        let Some(separator) = plain.chars().find(|c| !c.is_ascii_hexdigit()) else { return false };
        let mut groups = plain.split(separator);
        let width = plain.find(separator).unwrap_or(0);
        matches!(separator, ':' | '-' | '.' | ' ')
            && matches!(width, 2 | 4 | 6)
            && groups.all(|group| group.len() == width)
            && self.mac_digits(&plain.replace(separator, ""))
    }

    /// The twelve digits of a MAC address; false if they are none.
    pub(super) fn mac_digits(&mut self, digits: &str) -> bool {
        if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        let mut mac = String::with_capacity(17);
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && i % 2 == 0 {
                mac.push(':');
            }
            mac.push(digit.to_ascii_lowercase());
        }
        self.push(Namespace::Mac, &mac);
        true
    }

    /// A registry key, with the short and the long name of its root (MISP keeps the
    /// one that was typed); false if it is none.
    pub(super) fn regkey(&mut self, plain: &str) -> bool {
        let key = if starts_with(plain, "Computer\\") { &plain["Computer\\".len()..] } else { plain };
        let (root, rest) = match [("\\REGISTRY\\MACHINE", 0), ("\\REGISTRY\\USER", OF_USERS)]
            .iter()
            .find(|(kernel, _)| starts_with(key, kernel) && ends_or_backslash(&key[kernel.len()..]))
        {
            Some((kernel, root)) => (ROOTS[*root], &key[kernel.len()..]),
            None => {
                let (name, rest) = key.split_at(key.find('\\').unwrap_or(key.len()));
                // PowerShell writes `HKLM:\`.
                let name = name.strip_suffix(':').unwrap_or(name);
                let same =
                    |(short, long): &&(&str, &str)| short.eq_ignore_ascii_case(name) || long.eq_ignore_ascii_case(name);
                let Some(root) = ROOTS.iter().find(same) else { return false };
                (*root, rest)
            }
        };
        if rest.is_empty() {
            return false;
        }
        self.push(Namespace::Regkey, plain);
        self.push(Namespace::Regkey, &[root.0, rest].concat());
        self.push(Namespace::Regkey, &[root.1, rest].concat());
        if let Some((classes, rest)) = (root == ROOTS[OF_USERS]).then(|| of_user(rest)).flatten() {
            let (short, long) = ROOTS[OF_ONE_USER];
            self.push(Namespace::Regkey, &[short, classes, rest].concat());
            self.push(Namespace::Regkey, &[long, classes, rest].concat());
        }
        true
    }

    /// A named pipe with its path; false if it is none.
    pub(super) fn pipe(&mut self, plain: &str) -> bool {
        let found = PIPES.iter().any(|pipe| starts_with(plain, pipe));
        if found {
            self.pipe_names(plain);
        }
        found
    }

    /// A pipe with its path, as Sysmon writes it (`\NAME`), and its name alone.
    pub(super) fn pipe_names(&mut self, plain: &str) {
        let path = PIPES.iter().find(|pipe| starts_with(plain, pipe));
        let name = path.map_or_else(|| plain.strip_prefix('\\').unwrap_or(plain), |pipe| &plain[pipe.len()..]);
        self.push(Namespace::NamedPipe, plain);
        self.push(Namespace::NamedPipe, &[PIPES[0], name].concat());
        self.push(Namespace::NamedPipe, &["\\", name].concat());
        self.push(Namespace::NamedPipe, name);
    }
}

fn ends_or_backslash(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('\\')
}

/// Of a key below `HKU` what a user sees of it below `HKCU`: Windows logs a key with the
/// number (SID) of the user whose it is, and so nothing in a log begins with `HKCU`. What is
/// in `SID_Classes` is seen in `Software\Classes`.
fn of_user(rest: &str) -> Option<(&'static str, &str)> {
    let (sid, rest) = rest.strip_prefix('\\')?.split_once('\\')?;
    let plain = |sid: &str| sid[2..].bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let (sid, classes) = match sid.len().checked_sub("_Classes".len()).and_then(|at| sid.split_at_checked(at)) {
        Some((sid, end)) if end.eq_ignore_ascii_case("_Classes") => (sid, "\\Software\\Classes\\"),
        _ => (sid, "\\"),
    };
    (starts_with(sid, "S-1-") && plain(sid)).then_some((classes, rest))
}

/// What a text is likeliest to be.
fn likeliest(text: &str) -> Namespace {
    if text.starts_with('/') {
        Namespace::Url
    } else if starts_with(text, "Global\\") || starts_with(text, "Local\\") {
        Namespace::Mutex
    } else if is_pdb(text) {
        Namespace::Pdb
    } else if text.contains('/') && !text.contains('\\') {
        Namespace::UserAgent
    } else {
        Namespace::Filename
    }
}

/// Whether the text is the path of a program database.
pub(super) fn is_pdb(text: &str) -> bool {
    text.len() > 4 && text.as_bytes()[text.len() - 4..].eq_ignore_ascii_case(b".pdb")
}

/// The last component of a Windows or Unix path.
pub(super) fn last_component(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}
