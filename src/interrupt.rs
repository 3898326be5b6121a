//! SIGTERM and SIGINT: what is under way is brought to an end that the next run
//! can go on from. A second signal ends the process at once, which is safe too. A
//! file that may grow no further (`ulimit -f`) is an error to whoever writes it.

use crate::error::{Error, Kind, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens from now on.
///
/// # Errors
/// The handlers cannot be installed.
pub fn listen() -> io::Result<()> {
    let flag = REQUESTED.get_or_init(Arc::default);
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal raises the flag, the second finds it raised.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    // Without a handler this one kills; with any, the write fails and says why.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// Whether somebody wants the run to end.
pub fn requested() -> bool {
    REQUESTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Goes on, if nobody wants the run to end.
///
/// # Errors
/// [`Kind::Interrupted`].
pub fn check() -> Result<()> {
    if requested() {
        let text = "interrupted: what was loaded stays, the next run goes on from here";
        return Err(Error::new(Kind::Interrupted, text));
    }
    Ok(())
}
