//! MISP's attribute categories, and which of them a type has unless its author says
//! otherwise (`describeTypes` of MISP 2.5.1). Not the program's own
//! [`Category`](super::Category), which is a switch of the configuration.

use super::{Category, MispType};

/// Every category that an attribute can have in MISP.
pub const ATTRIBUTE_CATEGORIES: [&str; 16] = [
    "Internal reference",
    "Targeting data",
    "Antivirus detection",
    "Payload delivery",
    "Artifacts dropped",
    "Payload installation",
    "Persistence mechanism",
    "Network activity",
    "Payload type",
    "Attribution",
    "External analysis",
    "Financial fraud",
    "Support Tool",
    "Social network",
    "Person",
    "Other",
];

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
