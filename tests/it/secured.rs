//! memcached over TLS and with a password, against real memcacheds started so.

use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::model::expected;
use crate::support::program::{Finished, run};
use crate::support::sample;
use misp2memcached::demo::{Attribute, Event, SampleMisp, World};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Enough for several TLS records in both directions, and a value that takes two.
fn world() -> World {
    let mut world = World::new();
    for event in 0..4 {
        let mut draft = Event::new(&format!("event {event}"));
        for i in 0..700 {
            draft = draft.with(Attribute::new("url", &format!("http://host{i}.example/a b?{event}")));
            draft = draft.with(Attribute::new("domain", &format!("host{i}.example")));
        }
        world.add_event(draft, 1_795_000_000);
    }
    for event in 0..2_500 {
        let shared = Attribute::new("domain", "shared.example");
        world.add_event(Event::new(&format!("shared {event}")).with(shared), 1_795_000_000);
    }
    world
}

fn program(configuration: &Configuration, arguments: &[&str]) -> Finished {
    let file = configuration.write().display().to_string();
    run(&[&["--config", &file], arguments].concat(), &[])
}

fn loads(configuration: &Configuration, misp: &SampleMisp, memcached: &Memcached) -> String {
    let done = program(configuration, &["load"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let ours: BTreeMap<Vec<u8>, Vec<u8>> =
        memcached.dump("misp-").into_iter().filter(|(key, _)| key.contains(&b':')).collect();
    assert!(ours == expected(&misp.world(), |_, a| a.to_ids), "memcached differs from the model");
    done.stderr
}

fn fails(configuration: &Configuration, code: i32, said: &str) {
    let done = program(configuration, &["load"]);
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert!(done.stderr.contains(said), "{}", done.stderr);
    assert!(!done.stderr.contains("S3CRET"), "{}", done.stderr);
}

/// Certificates for one test, made with the `openssl` command.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let authority = Authority { directory: tempfile::tempdir().unwrap() };
        authority.root("ca");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(self.directory.path());
        let done = command.stdin(Stdio::null()).output().expect("openssl is on the PATH");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// An authority: NAME.pem and NAME.key.
    fn root(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    /// A certificate that `ca` signs, for these names.
    fn issue(&self, name: &str, names: &str) {
        std::fs::write(self.path("ext"), format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n")).unwrap();
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {} -days 2 -extfile ext -out {name}.pem",
            name.len()
        ));
    }

    /// The same, over since 2020.
    fn issue_expired(&self, name: &str, names: &str) {
        self.issue(name, names);
        let settings = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n";
        for (file, text) in [("ca.cnf", settings), ("index.txt", ""), ("serial", "20\n")] {
            std::fs::write(self.path(file), text).unwrap();
        }
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -extfile ext -startdate 20200101000000Z -enddate 20200102000000Z -out {name}.pem"
        ));
    }

    /// A memcached with this certificate; `verify` 2 asks for one of the client's.
    fn memcached(&self, name: &str, verify: u8) -> Memcached {
        let at = |file: &str| self.path(file).display().to_string();
        let options = format!(
            "ssl_chain_cert={},ssl_key={},ssl_ca_cert={},ssl_verify_mode={verify}",
            at(&format!("{name}.pem")),
            at(&format!("{name}.key")),
            at("ca.pem")
        );
        Memcached::start_tls(&["-o", &options])
    }

    fn tls(&self, keys: &[(&str, &str)]) -> String {
        let file = |(key, value): &(&str, &str)| match *key {
            "server_name" => format!("{key}: {value}"),
            _ => format!("{key}: {}", self.path(value).display()),
        };
        let keys: Vec<String> = keys.iter().map(file).collect();
        format!("tls: {{{}}}\n", keys.join(", "))
    }
}

const CLIENT: [(&str, &str); 2] = [("cert_file", "client.pem"), ("key_file", "client.key")];

#[test]
fn tls_with_a_client_certificate() {
    let authority = Authority::new();
    authority.issue("server", "IP:127.0.0.1");
    authority.issue("client", "DNS:client.example");
    let memcached = authority.memcached("server", 2);
    let misp = sample(world());
    let mut configuration = Configuration::new(&misp, &memcached);
    configuration.memcached(&authority.tls(&[&CLIENT[..], &[("ca_file", "ca.pem")]].concat()));
    loads(&configuration, &misp, &memcached);
    // Changes, removals, the verifying pass and its list of all keys, look-ups: over TLS too.
    misp.world().delete_event(2);
    memcached.set(b"misp-md5:d41d8cd98f00b204e9800998ecf8427e", b"9#md5");
    assert_eq!(program(&configuration, &["load", "--full", "--allow-shrink"]).code, Some(0));
    loads(&configuration, &misp, &memcached);
    for arguments in [&["lookup", "host3.example"][..], &["status"], &["check"]] {
        let done = program(&configuration, arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {} {}", done.stdout, done.stderr);
    }

    // Without our certificate, or with one of another authority.
    configuration.memcached(&authority.tls(&[("ca_file", "ca.pem")]));
    fails(&configuration, 69, "set memcached.tls.cert_file and key_file");
    authority.root("stranger");
    let stranger = [("ca_file", "ca.pem"), ("cert_file", "stranger.pem"), ("key_file", "stranger.key")];
    configuration.memcached(&authority.tls(&stranger));
    fails(&configuration, 69, "memcached.tls.cert_file");
}

#[test]
fn certificates_that_are_not_right_are_named() {
    let authority = Authority::new();
    authority.issue("named", "DNS:cache.example,IP:192.0.2.1");
    let memcached = authority.memcached("named", 0);
    let misp = sample(world());
    let mut configuration = Configuration::new(&misp, &memcached);

    configuration.memcached(&authority.tls(&[("ca_file", "ca.pem")]));
    fails(&configuration, 69, "its certificate is not for \"127.0.0.1\"; write the name that stands in it");
    configuration.memcached(&authority.tls(&[("ca_file", "ca.pem"), ("server_name", "cache.example")]));
    loads(&configuration, &misp, &memcached);

    // The system's authorities did not issue it, nor did another one of ours.
    configuration.memcached("tls: {server_name: cache.example}\n");
    fails(&configuration, 69, "was issued by nobody who is trusted here; name the authority in memcached.tls.ca_file");
    authority.root("other");
    configuration.memcached(&authority.tls(&[("ca_file", "other.pem"), ("server_name", "cache.example")]));
    fails(&configuration, 69, "was issued by nobody who is trusted here");

    // One that is over, one that signed itself.
    authority.issue_expired("expired", "IP:127.0.0.1");
    let expired = authority.memcached("expired", 0);
    let mut over = Configuration::new(&misp, &expired);
    over.memcached(&authority.tls(&[("ca_file", "ca.pem")]));
    fails(&over, 69, "has expired; give memcached a new one");
    let own = authority.memcached("ca", 0);
    let mut own_configuration = Configuration::new(&misp, &own);
    own_configuration.memcached(&authority.tls(&[("ca_file", "ca.pem")]));
    fails(&own_configuration, 69, "is an authority's own");

    // One speaks TLS, the other does not.
    configuration.memcached("");
    fails(&configuration, 69, "if it wants TLS (-Z), set memcached.tls");
    let plain = Memcached::start(&[]);
    let mut plain_configuration = Configuration::new(&misp, &plain);
    plain_configuration.memcached(&authority.tls(&[("ca_file", "ca.pem")]));
    fails(&plain_configuration, 69, "it does not speak TLS");

    // Files that hold something else.
    configuration.memcached(&authority.tls(&[("ca_file", "named.csr")]));
    fails(&configuration, 78, "memcached.tls.ca_file");
    configuration.memcached(&authority.tls(&[("ca_file", "nothing.pem")]));
    fails(&configuration, 78, "nothing.pem");
    let wrong_key = [("ca_file", "ca.pem"), ("cert_file", "named.pem"), ("key_file", "ca.pem")];
    configuration.memcached(&authority.tls(&wrong_key));
    fails(&configuration, 78, "memcached.tls.key_file");
}

fn secret(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_user_and_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let (authfile, password) = (directory.path().join("authfile"), directory.path().join("password"));
    secret(&authfile, "other:x\nmisp:S3CRET-w0rd:2\n", 0o600);
    secret(&password, "S3CRET-w0rd:2\n", 0o600);
    let memcached = Memcached::start_with_login(&authfile, "misp", "S3CRET-w0rd:2");
    let misp = sample(world());
    let mut configuration = Configuration::new(&misp, &memcached);
    let login = |user: &str| format!("username: {user}\npassword_file: {}\n", password.display());
    configuration.memcached(&login("misp"));
    assert!(!loads(&configuration, &misp, &memcached).contains("password_file"));
    assert_eq!(memcached.get(b"login"), None);
    assert_eq!(program(&configuration, &["lookup", "host3.example"]).code, Some(0));

    configuration.memcached("");
    fails(&configuration, 69, "it asks for a user and a password; set memcached.username");
    configuration.memcached(&login("other"));
    fails(&configuration, 69, "it refuses the user or the password; check memcached.username");
    secret(&password, "S3CRET-wrong", 0o600);
    configuration.memcached(&login("misp"));
    fails(&configuration, 69, "it refuses the user or the password");
    secret(&password, "S3CRET w0rd", 0o600);
    fails(&configuration, 78, "allowed: the password alone");

    secret(&password, "S3CRET-w0rd:2", 0o644);
    let warned = loads(&configuration, &misp, &memcached);
    assert!(warned.contains("memcached.password_file: everybody on this machine may read"), "{warned}");
    // One that asks for none is not told the password, which it would keep as a key.
    let open = Memcached::start(&[]);
    let mut both = Configuration::new(&misp, &open);
    both.memcached(&login("misp"));
    assert!(loads(&both, &misp, &open).contains("asks for no password"));
    assert!(open.keys().iter().all(|key| key.starts_with(b"misp-")));
}
