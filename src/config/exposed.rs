//! Files that hold a secret and that everybody on the machine may read: a warning
//! for each. Looks at modes alone, never at what is in a file.

use super::{Config, Misp};
use secrecy::ExposeSecret;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `chmod o+r`
const OTHERS_MAY_READ: u32 = 0o004;

/// A warning if everybody may read a file that holds a secret; `key` names the file.
pub(super) fn readable_by_all(path: &Path, key: &str, holds: &str) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & OTHERS_MAY_READ != 0)
        .then(|| format!("{key}: everybody on this machine may read {shown}, which holds {holds}; chmod 600 {shown}"))
}

/// Those of the configuration file itself, if a secret stands in it, and of the
/// private keys that it names.
pub(super) fn warnings(config: &Config, file: Option<&Path>) -> Vec<String> {
    let held = if config.misp.token.is_some() {
        Some(("misp.token", "MISP's key"))
    } else if proxy_has_password(&config.misp) {
        Some(("misp.proxy", "the proxy's password"))
    } else {
        None
    };
    let itself = file.zip(held).map(|(path, (key, holds))| (Some(path), key, holds));
    let tls_key = config.memcached.tls.as_ref().and_then(|tls| tls.key_file.as_deref());
    let keys = [
        (config.misp.client_key_file.as_deref(), "misp.client_key_file", "a private key"),
        (tls_key, "memcached.tls.key_file", "a private key"),
    ];
    itself.into_iter().chain(keys).filter_map(|(path, key, holds)| readable_by_all(path?, key, holds)).collect()
}

/// Whether the proxy's address holds a password, or what may be one.
fn proxy_has_password(misp: &Misp) -> bool {
    misp.proxy.as_ref().is_some_and(|proxy| proxy.expose_secret().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;
    use secrecy::SecretString;
    use std::fs::{self, Permissions};

    #[test]
    fn each_file_with_a_secret_is_named_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "x").unwrap();
        let base: Config = serde_yaml::from_str("{}").unwrap();
        let with = |change: &dyn Fn(&mut Config)| {
            let mut config = base.clone();
            change(&mut config);
            config
        };
        let proxy = |address: &str| Some(SecretString::from(address));
        let tls = || Some(Tls { key_file: Some(path.clone()), ..Tls::default() });
        let cases = [
            (base.clone(), None),
            (with(&|c| c.misp.token = Some("abc".into())), Some("misp.token: ")),
            (with(&|c| c.misp.proxy = proxy("http://proxy:3128")), None),
            (with(&|c| c.misp.proxy = proxy("http://a:S3CRET@proxy:3128")), Some("misp.proxy: ")),
            (with(&|c| c.misp.client_key_file = Some(path.clone())), Some("misp.client_key_file: ")),
            (with(&|c| c.memcached.tls = tls()), Some("memcached.tls.key_file: ")),
        ];
        for (mode, exposed) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            for (config, key) in &cases {
                let found = warnings(config, Some(&path));
                let expected = if exposed { *key } else { None };
                assert_eq!(found.len(), usize::from(expected.is_some()), "{mode:o}: {found:?}");
                for (text, key) in found.iter().zip(expected) {
                    assert!(text.starts_with(key) && text.contains("chmod 600"), "{text}");
                    assert!(!text.contains("S3CRET"), "{text}");
                }
            }
        }
    }
}
