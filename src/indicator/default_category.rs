//! The attribute category that MISP gives a type unless its author says otherwise
//! (`sane_defaults` of `describeTypes`, MISP 2.5.1). Not the program's own
//! [`Category`](super::Category), which is a switch of the configuration.

use super::{Category, MispType};

impl MispType {
    /// MISP's default category of the type.
    pub fn default_category(self) -> &'static str {
        match self.name() {
            "email" => "Social network",
            "email-src"
            | "email-reply-to"
            | "email-subject"
            | "email-message-id"
            | "email-x-mailer"
            | "email-mime-boundary"
            | "email-attachment"
            | "filename"
            | "chrome-extension-id"
            | "mobile-application-id" => "Payload delivery",
            "whois-registrant-email" | "dns-soa-email" => "Attribution",
            "regkey" | "regkey|value" => "Persistence mechanism",
            "mutex" | "named pipe" | "pdb" | "windows-service-name" | "windows-scheduled-task" => "Artifacts dropped",
            "btc" | "xmr" => "Financial fraud",
            _ if self.category() == Category::Hash => "Payload delivery",
            _ => "Network activity",
        }
    }
}
