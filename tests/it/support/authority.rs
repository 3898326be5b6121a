//! Certificates for one test, made with the `openssl` command.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What `openssl ca` wants to be told; only it can make a certificate that is over.
const CA_SETTINGS: &str = "[ca]\ndefault_ca=here\n[here]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
                           default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n";

/// An authority `ca` and what it has issued: NAME.pem and NAME.key in a directory.
pub struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    /// A new one, with its own certificate in `ca.pem`.
    pub fn new() -> Authority {
        let authority = Authority { directory: tempfile::tempdir().expect("a temporary directory") };
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem");
        authority
    }

    /// A file of this authority.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// A certificate for these names (`DNS:misp.example,IP:127.0.0.1`).
    pub fn issue(&self, name: &str, names: &str) {
        self.request(name, names);
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {} -days 2 -extfile {name}.ext -out {name}.pem",
            name.len()
        ));
    }

    /// The same, for two days in the year 2020.
    pub fn issue_for_2020(&self, name: &str, names: &str) {
        self.request(name, names);
        for (file, text) in [("ca.cnf", CA_SETTINGS), ("index.txt", ""), ("serial", "20\n")] {
            std::fs::write(self.path(file), text).expect("a file for openssl");
        }
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -extfile {name}.ext \
             -startdate 20200101000000Z -enddate 20200103000000Z -out {name}.pem"
        ));
    }

    fn request(&self, name: &str, names: &str) {
        let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.path(&format!("{name}.ext")), extensions).expect("a file for openssl");
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(self.directory.path()).stdin(Stdio::null());
        let done = command.output().expect("openssl is on the PATH");
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
