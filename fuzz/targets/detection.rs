//! Any line as a sensor's: what becomes of it is the same each time, and nothing in the
//! event is an address or a name that must not leave.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::share::event::Terms;
use misp2memcached::share::exclude::Exclude;
use misp2memcached::share::input::{From, detection};
use misp2memcached::share::withheld::Withheld;

fuzz_target!(|line: &str| {
    let mut exclude = Exclude::default();
    exclude.add("45.155.205.0/24, .corp.example").unwrap();
    let withheld = Withheld::new(exclude);
    let terms = Terms { withheld: withheld.clone(), ids: true, ..Terms::default() };
    for from in [From::Flowmon, From::Json] {
        let Ok(Some(detection)) = detection(from, line, true) else { continue };
        let Some(draft) = terms.build(detection.clone()).draft else { continue };
        assert_eq!(terms.build(detection).draft.as_ref(), Some(&draft));
        for attribute in &draft.attributes {
            assert_eq!(withheld.value(&attribute.value), None, "{attribute:?}");
            assert_eq!(withheld.mask(&attribute.comment), attribute.comment);
        }
        assert_eq!(withheld.mask(&draft.info), draft.info);
    }
});
