//! Under which values MISP has what was seen: a look-up in the cache, and the values
//! of the keys that matched. An address may be listed as itself and by the network
//! around it, a name by the domain above it. It knows neither sockets nor servers.

use crate::cache::key::Keys;
use crate::error::{Error, Kind, Result};
use crate::lookup::{Ask, Match, form, look_up};

/// For each value those that MISP has of it, best first; none, if it is not listed.
///
/// # Errors
/// The cache cannot be asked, or holds no complete load, so that nothing can be
/// told from it.
pub fn listed<A: Ask>(ask: &mut A, keys: &Keys, values: &[String]) -> Result<Vec<Vec<String>>> {
    let mut all: Vec<Vec<String>> = Vec::with_capacity(values.len());
    look_up(ask, keys, values.iter().map(|value| Ok(value.clone())), |found| {
        let asked = values.get(all.len()).map_or("", String::as_str);
        all.push(names(keys, asked, &found.matches));
        Ok(())
    })?;
    if all.iter().all(Vec::is_empty) && !values.is_empty() {
        let asked = ask.begin(vec![keys.last_load()])?;
        if ask.finish(asked)?.values.iter().all(Option::is_none) {
            let text = "memcached holds no complete load, so nothing is listed; run `misp2memcached load`";
            return Err(Error::new(Kind::Unavailable, text));
        }
    }
    all.resize(values.len(), Vec::new());
    Ok(all)
}

fn names(keys: &Keys, asked: &str, matches: &[Match]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for one in matches {
        let Some(name) = name(keys, asked, one.key.as_bytes()) else { continue };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The value that a key stands for. One too long for a key is there as its hash; then
/// it is the spelling of what was asked that has this key.
fn name(keys: &Keys, asked: &str, key: &[u8]) -> Option<String> {
    let (namespace, value) = keys.parse(key)?;
    if value.starts_with(b"sha256:") {
        let mut spellings = form::candidates_in(namespace, asked).into_iter();
        return spellings.find(|c| keys.indicator(namespace, &c.value) == key).map(|c| c.value);
    }
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::answers::Answers;
    use std::collections::BTreeMap;

    struct Cache(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Ask for Cache {
        type Asked = Vec<Vec<u8>>;

        fn begin(&mut self, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
            Ok(keys)
        }

        fn finish(&mut self, keys: Vec<Vec<u8>>) -> Result<Answers> {
            let values = keys.iter().map(|key| self.0.get(key).cloned()).collect();
            Ok(Answers { keys, values })
        }
    }

    fn cache(held: &[(&str, &str)]) -> Cache {
        Cache(held.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
    }

    #[test]
    fn as_misp_has_it() {
        let keys = Keys::new("misp");
        let long = format!("http://evil.example/{}", "x".repeat(300));
        let hashed = String::from_utf8(keys.indicator(crate::indicator::Namespace::Url, &long)).unwrap();
        let mut cache = cache(&[
            ("misp-last-load", "1"),
            ("misp-networks", "4:24"),
            ("misp-ip:203.0.113.7", "1#ip-dst,2#ip-src"),
            ("misp-cidr:203.0.113.0/24", "3#ip-dst"),
            ("misp-domain:evil.example", "1#domain"),
            (&hashed, "9#url"),
        ]);
        let values = ["203.0.113[.]7:443", "WWW.Evil.Example.", "nothing.example", &long].map(str::to_owned);
        let found = listed(&mut cache, &keys, &values).unwrap();
        assert_eq!(found[0], ["203.0.113.7", "203.0.113.0/24"]);
        assert_eq!((found[1].as_slice(), found[2].len()), (&["evil.example".to_owned()][..], 0));
        assert_eq!(found[3][0], long);
    }

    /// The key is a hash, and what was asked is another spelling of what it is of.
    #[test]
    fn a_long_value_in_other_spellings() {
        use crate::indicator::Namespace;
        let keys = Keys::new("misp");
        let (path, id) = (format!("/{}/ü", "x".repeat(300)), format!("<{}@mail.example>", "x".repeat(240)));
        let hashed = |namespace, value: &str| String::from_utf8(keys.indicator(namespace, value)).unwrap();
        let (path_key, id_key) = (hashed(Namespace::Url, &path), hashed(Namespace::EmailMessageId, &id));
        let mut cache = cache(&[("misp-last-load", "1"), (&path_key, "1#uri"), (&id_key, "2#email-message-id")]);
        let asked = [path.replace('ü', "%C3%BC") + "?a#b", id.replace(['<', '>'], "")];
        assert_eq!(listed(&mut cache, &keys, &asked).unwrap(), [[path], [id]]);
    }

    #[test]
    fn an_empty_cache_tells_nothing() {
        let keys = Keys::new("misp");
        let value = ["a.example".to_owned()];
        assert_eq!(listed(&mut cache(&[]), &keys, &value).unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(listed(&mut cache(&[("misp-last-load", "1")]), &keys, &value).unwrap(), [Vec::<String>::new()]);
        assert!(listed(&mut cache(&[]), &keys, &[]).unwrap().is_empty());
    }
}
